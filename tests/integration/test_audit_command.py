"""`facepass-server audit` reads what was recorded, and its owner alone removes it."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from facepass.v1 import events_pb2
from record import in_file, in_table

from common.config import AuditSettings
from indexer.config import IndexerServerSettings, IndexerSettings
from standalone.cli import run


@pytest.fixture
async def recorded(
    database: Any, vision: Any, serving: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, list[datetime]]:
    """A file and a table with the same five calls of the Indexer, and when they began and ended."""
    file = tmp_path / "audit.jsonl"
    server = IndexerServerSettings(listen="127.0.0.1:0", metrics_listen="")
    settings = IndexerSettings(indexer=server, audit=AuditSettings(file=str(file)))
    times = [datetime.now(UTC)]
    async with serving(database.settings, vision, indexer_settings=settings) as servers:
        for name in ("gala", "ball"):
            await servers.events.CreateEvent(events_pb2.CreateEventRequest(event_id=name))
        times.append(datetime.now(UTC))
        for name in ("gala", "ball", "none"):
            request = events_pb2.DeleteEventRequest(name=f"events/{name}")
            await asyncio.gather(servers.events.DeleteEvent(request), return_exceptions=True)
    monkeypatch.setenv("FACEPASS_DATABASE__DSN", database.server_dsn)
    monkeypatch.setenv("FACEPASS_DATABASE__MIGRATION_DSN", database.owner_dsn)
    return file, times


async def shown(
    capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, list[dict[str, Any]]]:
    code = await asyncio.to_thread(run, ["audit", *arguments])
    return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def calls(lines: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(line["method"].rpartition("/")[2], *line["events"]) for line in lines]


@pytest.mark.parametrize("source", ["file", "table"])
async def test_lines_are_chosen(
    recorded: Any, capsys: pytest.CaptureFixture[str], source: str
) -> None:
    file, (begun, midway) = recorded
    where = ["--file", str(file)] if source == "file" else []

    async def chosen(command: str, *filters: str) -> list[tuple[str, str]]:
        code, lines = await shown(capsys, command, *where, *filters)
        assert code == 0
        return calls(lines)

    everything = [
        ("CreateEvent", "gala"),
        ("CreateEvent", "ball"),
        ("DeleteEvent", "gala"),
        ("DeleteEvent", "ball"),
        ("DeleteEvent", "none"),
    ]
    assert await chosen("export") == everything
    assert await chosen("export", "--event", "gala") == [everything[0], everything[2]]
    assert await chosen("export", "--method", "CreateEvent") == everything[:2]
    full = "facepass.v1.Events/CreateEvent"
    assert await chosen("export", "--method", full, "--event", "ball") == everything[1:2]
    assert await chosen("export", "--since", midway.isoformat()) == everything[2:]
    assert await chosen("export", "--until", midway.isoformat()) == everything[:2]
    assert await chosen("export", "--until", begun.replace(tzinfo=None).isoformat()) == []
    assert await chosen("export", "--subject", "somebody") == []
    assert await chosen("export", "--subject", "") == everything
    assert await chosen("tail", "-n", "2") == everything[3:]


async def test_both_tell_the_same(recorded: Any, capsys: pytest.CaptureFixture[str]) -> None:
    file, _ = recorded
    code, lines = await shown(capsys, "export")
    assert code == 0
    # The table's role is the Searcher's too, which was not asked anything.
    assert lines == in_file(file)


async def test_a_broken_line_is_passed_over(
    recorded: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    file, _ = recorded
    first, _, rest = file.read_text().partition("\n")
    file.write_text(f"{first[:40]}\n[]\n{rest}")
    _, lines = await shown(capsys, "export", "--file", str(file))
    assert calls(lines)[0] == ("CreateEvent", "ball")
    assert len(lines) == 4


async def test_rows_are_removed_by_their_owner_alone(
    recorded: Any,
    database: Any,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, (_, midway) = recorded
    prune = ["audit", "prune", "--before", midway.isoformat()]
    with monkeypatch.context() as less:
        less.setenv("FACEPASS_DATABASE__MIGRATION_DSN", "")
        assert await asyncio.to_thread(run, prune) == 1
    assert "permission denied" in capsys.readouterr().err
    assert len(await in_table(database.owner_dsn)) == 5
    assert await asyncio.to_thread(run, ["audit", "prune"]) == 0  # none is a year old
    assert "Removed 0 rows" in capsys.readouterr().out
    assert await asyncio.to_thread(run, prune) == 0
    assert "Removed 2 rows" in capsys.readouterr().out
    assert len(await in_table(database.owner_dsn)) == 3
