"""Settings: what is wrong is told with the variable, its value and what it accepts."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from indexer.config import IndexerSettings
from searcher.config import SearcherSettings
from standalone.config import WrongSetting, read_settings

BOUNDS = {"ge": -1, "gt": -1, "le": 1, "lt": 1}
"""To which side of a bound the values lie that are wrong."""
DSN = "FACEPASS_DATABASE__DSN"
Servers = type[IndexerSettings] | type[SearcherSettings]


def fields(settings: Servers) -> Iterator[tuple[str, FieldInfo]]:
    """Every setting of a server by its variable."""
    for block, field in settings.model_fields.items():
        kind = field.annotation
        assert isinstance(kind, type) and issubclass(kind, BaseModel)
        for name, inner in kind.model_fields.items():
            yield f"FACEPASS_{block}__{name}".upper(), inner


def bounded() -> Iterator[Any]:
    """Each bound of each setting: server, variable, a value beyond it, how it is told."""
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    for settings in (IndexerSettings, SearcherSettings):
        for variable, field in fields(settings):
            for limit in field.metadata:
                for name, side in BOUNDS.items():
                    if hasattr(limit, name):
                        bound = getattr(limit, name)
                        told = f"{signs[name]} {bound}"
                        yield pytest.param(settings, variable, bound + side, told, id=variable)


@pytest.mark.parametrize(("settings", "variable", "value", "told"), list(bounded()))
def test_out_of_bounds(
    settings: Servers, variable: str, value: float, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, str(value))
    with pytest.raises(WrongSetting) as wrong:
        read_settings(settings)
    assert wrong.value.message.startswith(f"{variable}: '{value}' is not accepted: must be a")
    assert told in wrong.value.message


@pytest.mark.parametrize("settings", [IndexerSettings, SearcherSettings])
def test_no_number_is_without_bounds(settings: Servers) -> None:
    for variable, field in fields(settings):
        if field.annotation in (int, float):
            names = {name for limit in field.metadata for name in BOUNDS if hasattr(limit, name)}
            assert len(names) == 2, variable


@pytest.mark.parametrize(
    ("variable", "value", "accepts"),
    [
        ("ENGINE__WORKERS", "many", "a whole number >= 0 and <= 256"),
        ("ENGINE__WORKERS", "1.5", "a whole number >= 0 and <= 256"),
        ("ENGINE__IMAGE_TIMEOUT_S", "nan", "a number > 0 and <= 3600"),
        ("ENGINE__IMAGE_TIMEOUT_S", "inf", "a number > 0 and <= 3600"),
        ("PROMOTION__ENABLED", "perhaps", "true or false"),
        ("LOG__LEVEL", "LOUD", "one of DEBUG, INFO, WARNING, ERROR"),
        ("INDEXER__LISTEN", "localhost", "host:port"),
        ("INDEXER__LISTEN", "", "host:port"),
        ("INDEXER__METRICS_LISTEN", "9101", "host:port"),
        ("TRACES__ENDPOINT", "collector:4317", "http://host:port or https://host:port, such as"),
        ("TRACES__ENDPOINT", "http://collector", "http://host:port"),
        ("TRACES__ENDPOINT", "http://collector:4318/v1/traces", "http://host:port"),
        ("TRACES__SAMPLE_RATIO", "all", "a number >= 0 and <= 1"),
    ],
)
def test_other_nonsense(
    variable: str, value: str, accepts: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"FACEPASS_{variable}", value)
    with pytest.raises(WrongSetting) as wrong:
        read_settings(IndexerSettings)
    told = wrong.value.message
    assert told.startswith(f"FACEPASS_{variable}: {value!r} is not accepted: must be {accepts}")


@pytest.mark.parametrize(
    "listen", ["0.0.0.0:50051", "localhost:0", "[::]:50051", "[::1]:1", "unix:/run/facepass"]
)
def test_addresses(listen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEPASS_INDEXER__LISTEN", listen)
    assert read_settings(IndexerSettings).indexer.listen == listen


def test_secret_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dsn").write_text("postgresql://user:hush@db/facepass\n")
    monkeypatch.setenv(f"{DSN}_FILE", str(tmp_path / "dsn"))
    found = read_settings(SearcherSettings)
    assert found.database.dsn.get_secret_value() == "postgresql://user:hush@db/facepass"
    assert found.database.migration_dsn.get_secret_value() == ""
    assert "hush" not in repr(found)


def test_secret_files_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "dsn"
    monkeypatch.setenv(f"{DSN}_FILE", str(path))
    with pytest.raises(WrongSetting) as wrong:
        read_settings(IndexerSettings)
    assert wrong.value.message == f"{DSN}_FILE: cannot read {path}: No such file or directory"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(WrongSetting, match=f"{DSN}_FILE: cannot read .*: is no text"):
        read_settings(IndexerSettings)
    path.write_text("postgresql://db/facepass")
    monkeypatch.setenv(DSN, "postgresql://other/facepass")
    with pytest.raises(WrongSetting, match=f"{DSN} and {DSN}_FILE are both set"):
        read_settings(IndexerSettings)
