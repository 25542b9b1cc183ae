"""Writes docs/configuration.md and deploy/env.example from the settings and their docstrings.

usage: configuration.py [--check]     --check writes nothing and fails when either is stale
"""

import argparse
import json
import sys
import textwrap
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from indexer.config import IndexerSettings
from searcher.config import SearcherSettings

ROOT = Path(__file__).resolve().parent.parent
SETTINGS: tuple[type[BaseSettings], ...] = (IndexerSettings, SearcherSettings)

DOCS_HEAD = """\
# Configuration

FacePass is set up by environment variables. `deploy/env.example` holds them all, ready to be
copied. A server checks them at start and refuses to start with a wrong one, saying which.

Lists are written as JSON: `FACEPASS_ENGINE__PROVIDERS='["CPUExecutionProvider"]'`.

The `facepass` command and the Python client read some of their own: `FACEPASS_INDEXER_ADDRESS`
(`localhost:50051` where it is not set), `FACEPASS_SEARCHER_ADDRESS` (`localhost:50052`), and the
files `FACEPASS_TOKEN_FILE`, `FACEPASS_CA_FILE`, `FACEPASS_CLIENT_CERTIFICATE` and
`FACEPASS_CLIENT_KEY` ([security](security.md)).
"""
ENV_HEAD = """\
# Every setting of FacePass with its default. Copy this file, and take the `#` off what you change.
"""


@dataclass(frozen=True)
class Setting:
    """One variable: its name, what it is for, its default and what it accepts."""

    variable: str
    meaning: str
    default: str
    accepts: str


@dataclass(frozen=True)
class Block:
    """Settings that belong together."""

    title: str
    settings: tuple[Setting, ...]


def blocks() -> list[Block]:
    """Walk the servers' settings; a block that both have is told once."""
    found: dict[str, Block] = {}
    for settings in SETTINGS:
        prefix = settings.model_config["env_prefix"]
        for name, field in settings.model_fields.items():
            block = field.annotation
            assert isinstance(block, type) and issubclass(block, BaseModel), name
            rows = tuple(_settings(f"{prefix}{name}__".upper(), block))
            title = (block.__doc__ or name).partition(".")[0].strip()
            if found.setdefault(name, Block(title, rows)).settings != rows:
                raise ValueError(f"{settings.__name__}.{name} is not what another server has")
    return list(found.values())


def _settings(prefix: str, block: type[BaseModel]) -> Iterator[Setting]:
    for name, field in block.model_fields.items():
        if not field.description:
            raise ValueError(f"{block.__name__}.{name} has no docstring")
        meaning = " ".join(field.description.split())
        yield Setting(prefix + name.upper(), meaning, _default(field), _accepts(field))


def _default(field: FieldInfo) -> str:
    value: Any = field.get_default(call_default_factory=True)
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return json.dumps(value) if isinstance(value, list | dict | bool) else str(value)


def _accepts(field: FieldInfo) -> str:
    if typing.get_origin(field.annotation) is typing.Literal:
        return " ".join(f"`{choice}`" for choice in typing.get_args(field.annotation))
    if field.annotation is bool:
        return "`true` `false`"
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    limits = [
        f"{sign} {getattr(limit, name):,}"
        for limit in field.metadata
        for name, sign in signs.items()
        if hasattr(limit, name)
    ]
    return ", ".join(limits)


def docs() -> str:
    parts = [DOCS_HEAD]
    for block in blocks():
        rows = [
            f"\n## {block.title}\n\n| Variable | Default | Accepts | Meaning |\n|---|---|---|---|\n"
        ]
        for setting in block.settings:
            default = f"`{setting.default}`" if setting.default else "empty"
            rows.append(
                f"| `{setting.variable}` | {default} | {setting.accepts} | {setting.meaning} |\n"
            )
        parts.append("".join(rows))
    return "".join(parts)


def env() -> str:
    parts = [ENV_HEAD]
    for block in blocks():
        parts.append(f"\n# --- {block.title} ---\n")
        for setting in block.settings:
            meaning = setting.meaning.replace("`", "")
            accepts = f" Accepts {setting.accepts.replace('`', '')}." if setting.accepts else ""
            comment = textwrap.fill(
                meaning + accepts, 100, initial_indent="# ", subsequent_indent="# "
            )
            parts.append(f"\n{comment}\n#{setting.variable}={setting.default}\n")
    return "".join(parts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check_only = parser.parse_args().check
    pages = {ROOT / "docs/configuration.md": docs(), ROOT / "deploy/env.example": env()}
    stale = [page for page, text in pages.items() if not page.exists() or page.read_text() != text]
    for page in stale:
        if check_only:
            print(f"stale: {page.relative_to(ROOT)}. Run `make docs`.", file=sys.stderr)
        else:
            page.write_text(pages[page])
    return 1 if check_only and stale else 0


if __name__ == "__main__":
    sys.exit(main())
