"""Settings read with errors that say which variable is wrong, its value and what it accepts."""

import json
import os
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import SettingsError

from common.config import CommonSettings, DatabaseSettings
from common.errors import SetupError
from indexer.config import IndexerSettings
from searcher.config import SearcherSettings

PREFIX = "FACEPASS_"
_SECRET = ("dsn", "migration_dsn", "replica_dsn")
_FILE = "_file"
"""Ends the name of the setting that names a secret's file."""
_SIGNS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
Overrides = Mapping[str, Mapping[str, str]]
"""Values that go before the environment's, by block and field."""
S = TypeVar("S", bound=CommonSettings)


class WrongSetting(SetupError):
    """A variable or flag has a value that is not accepted."""


def read_settings(settings: type[S], overrides: Overrides | None = None) -> S:
    """Read a server's settings from the environment and `overrides`.

    Raises WrongSetting naming every wrong variable.
    """
    values: dict[str, Any] = {block: dict(fields) for block, fields in (overrides or {}).items()}
    try:
        found = settings(**values)
        secrets = _from_files(found.database)
        database = found.database.model_copy(update=secrets)
        return found.model_copy(update={"database": database}) if secrets else found
    except ValidationError as error:
        complaints = [_complaint(settings, dict(each)) for each in error.errors()]
        raise WrongSetting("; ".join(complaints)) from error
    except SettingsError as error:
        raise WrongSetting("; ".join(_not_json(settings)) or str(error)) from error


def _from_files(database: DatabaseSettings) -> dict[str, SecretStr]:
    """The secrets of which a file is named. Raises WrongSetting."""
    found = {}
    for name in _SECRET:
        path = getattr(database, name + _FILE)
        variable = f"{PREFIX}DATABASE__{name}".upper()
        if path and getattr(database, name).get_secret_value():
            raise WrongSetting(f"{variable} and {variable}_FILE are both set: unset one")
        if path:
            try:
                found[name] = SecretStr(Path(path).expanduser().read_text().strip())
            except (OSError, UnicodeError) as error:
                why = getattr(error, "strerror", None) or "is no text"
                raise WrongSetting(f"{variable}_FILE: cannot read {path}: {why}") from error
    return found


def unknown_variables() -> list[str]:
    """Variables of ours in the environment that no server reads: most likely mistyped."""
    blocks = IndexerSettings.model_fields.keys() | SearcherSettings.model_fields.keys()
    known = tuple(f"{PREFIX}{block.upper()}__" for block in blocks)
    # The client's own, and where tests find their material.
    others = (
        f"{PREFIX}INDEXER_ADDRESS", f"{PREFIX}SEARCHER_ADDRESS", f"{PREFIX}TOKEN_FILE",
        f"{PREFIX}CA_FILE", f"{PREFIX}CLIENT_", f"{PREFIX}TEST_",
    )  # fmt: skip
    return sorted(
        name
        for name in os.environ
        if name.startswith(PREFIX) and not name.startswith((*known, *others))
    )


def _complaint(settings: type[CommonSettings], error: dict[str, Any]) -> str:
    location = [str(part) for part in error["loc"]]
    variable = PREFIX + "__".join(location).upper()
    if error["type"] == "extra_forbidden":
        return f"{variable}: there is no such setting"
    value = "its value" if location[-1] in _SECRET else repr(error["input"])
    field = _field(settings, location)
    accepted = _accepted(field) if field else ""
    return f"{variable}: {value} is not accepted: {accepted or error['msg']}"


def _field(settings: type[BaseModel], location: list[str]) -> FieldInfo | None:
    """The field at a path of names, where there is one."""
    field = settings.model_fields.get(location[0])
    if field is None or len(location) == 1:
        return field
    block = field.annotation
    if isinstance(block, type) and issubclass(block, BaseModel):
        return _field(block, location[1:])
    return field


def _accepted(field: FieldInfo) -> str:
    if typing.get_origin(field.annotation) is typing.Literal:
        return "must be one of " + ", ".join(map(str, typing.get_args(field.annotation)))
    if field.annotation is bool:
        return "must be true or false"
    if any(getattr(limit, "pattern", None) for limit in field.metadata):
        return f"must be {field.title}, such as {', '.join(field.examples or ())}"
    limits = [
        f"{sign} {getattr(limit, name)}"
        for limit in field.metadata
        for name, sign in _SIGNS.items()
        if hasattr(limit, name)
    ]
    kind = "a whole number" if field.annotation is int else "a number"
    return f"must be {kind} {' and '.join(limits)}" if limits else ""


def _not_json(settings: type[CommonSettings]) -> list[str]:
    """Variables of lists and whole blocks, which are written as JSON, that are none."""
    wrong = []
    for variable, value in sorted(os.environ.items()):
        location = variable.removeprefix(PREFIX).lower().split("__")
        field = _field(settings, location) if variable.startswith(PREFIX) else None
        if field is None or not _is_json(field):
            continue
        try:
            json.loads(value)
        except ValueError:
            wrong.append(f'{variable}: {value!r} is not accepted: must be JSON, such as ["a", "b"]')
    return wrong


def _is_json(field: FieldInfo) -> bool:
    kind = field.annotation
    is_block = isinstance(kind, type) and issubclass(kind, BaseModel)
    return is_block or typing.get_origin(kind) is list
