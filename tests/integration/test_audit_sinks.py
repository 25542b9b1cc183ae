"""Where the audit goes, and what happens when it takes no more."""

import asyncio
import urllib.request
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import pytest
from facepass.v1 import events_pb2
from record import Line, in_file, in_table, until

from common.config import AuditSettings
from indexer.config import IndexerServerSettings, IndexerSettings
from searcher.config import SearcherServerSettings, SearcherSettings


def settings(**audit: Any) -> dict[str, Any]:
    """For both servers."""
    free: dict[str, Any] = {"listen": "127.0.0.1:0", "metrics_listen": "127.0.0.1:0"}
    told = AuditSettings(**audit)
    return {
        "indexer_settings": IndexerSettings(indexer=IndexerServerSettings(**free), audit=told),
        "searcher_settings": SearcherSettings(searcher=SearcherServerSettings(**free), audit=told),
    }


async def scrape(port: int) -> str:
    def get() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as response:
            return str(response.read().decode())

    return await asyncio.to_thread(get)


def allowed(lines: list[Line]) -> list[list[str]]:
    """Events of the calls that were let through, in the order of the lines."""
    return [list(line["events"]) for line in lines if line["decision"] == "allowed"]


async def created(servers: Any, event: str) -> bool:
    try:
        await servers.events.CreateEvent(events_pb2.CreateEventRequest(event_id=event))
    except grpc.aio.AioRpcError:
        return False
    return True


async def test_a_full_disk_refuses_calls_and_loses_nothing(
    database: Any, vision: Any, serving: Any, tmp_path: Path
) -> None:
    file = tmp_path / "audit.jsonl"
    file.symlink_to("/dev/full")
    asked = settings(file=str(file), buffer_lines=3)
    async with serving(database.settings, vision, **asked) as servers:
        for n in range(3):
            await servers.events.CreateEvent(events_pb2.CreateEventRequest(event_id=f"e{n}"))
        for _ in range(2):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await servers.events.CreateEvent(events_pb2.CreateEventRequest(event_id="more"))
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "AUDIT_UNAVAILABLE" in str(refused.value.trailing_metadata())
        file.unlink()
        lines = await until(lambda: in_file(file), 3)
        assert [line["events"] for line in lines] == [["e0"], ["e1"], ["e2"]]
        for _ in range(400):
            if await created(servers, "more"):
                break
            await asyncio.sleep(0.05)
    assert allowed(in_file(file)) == [["e0"], ["e1"], ["e2"], ["more"]]
    rows = allowed(await in_table(database.owner_dsn))
    assert sorted(rows) == [["e0"], ["e1"], ["e2"], ["more"]]


async def test_lines_are_lost_and_counted_where_that_is_wanted(
    database: Any, vision: Any, serving: Any, caplog: pytest.LogCaptureFixture
) -> None:
    asked = settings(file="/dev/full", table=False, buffer_lines=3, when_stuck="lose")
    async with serving(database.settings, vision, **asked) as servers:
        for n in range(10):
            await servers.events.CreateEvent(events_pb2.CreateEventRequest(event_id=f"e{n}"))
        wanted = {
            'facepass_audit_lines_total{outcome="lost",sink="file"} 7.0',
            'facepass_audit_waiting{sink="file"} 3.0',
        }
        missing = wanted
        async with asyncio.timeout(20):
            while missing:
                # A call's line comes after its answer.
                await asyncio.sleep(0.05)
                told = await scrape(servers.indexer_server.metrics_port)
                missing = wanted - set(told.splitlines())
    lost = [r for r in caplog.records if getattr(r, "action", "") == "audit_lost"]
    assert len(lost) == 2  # as it begins, and as the server ends


async def test_a_table_out_of_reach_loses_nothing(database: Any, vision: Any, serving: Any) -> None:
    owner = await asyncpg.connect(database.owner_dsn)
    async with serving(database.settings, vision) as servers:
        await owner.execute("REVOKE INSERT ON audit FROM facepass_server")
        for n in range(5):
            await servers.events.CreateEvent(events_pb2.CreateEventRequest(event_id=f"e{n}"))
        await asyncio.sleep(0.3)
        assert await in_table(database.owner_dsn) == []
        await owner.execute("GRANT INSERT ON audit TO facepass_server")
        rows = await until(lambda: in_table(database.owner_dsn), 5)
    await owner.close()
    assert [row["number"] for row in rows] == [1, 2, 3, 4, 5]


async def test_a_rotated_file_is_made_anew(
    database: Any, vision: Any, serving: Any, tmp_path: Path
) -> None:
    file, old = tmp_path / "audit.jsonl", tmp_path / "audit.jsonl.1"
    async with serving(database.settings, vision, **settings(file=str(file))) as servers:
        for n in range(4):
            await servers.events.CreateEvent(events_pb2.CreateEventRequest(event_id=f"e{n}"))
            await until(lambda: in_file(file), 1 + n % 2)
            if n == 1:
                file.rename(old)
    assert [line["events"] for line in in_file(old)] == [["e0"], ["e1"]]
    assert [line["events"] for line in in_file(file)] == [["e2"], ["e3"]]
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET subject = 'somebody else'",
        "DELETE FROM audit",
        "TRUNCATE audit",
        "SELECT subject FROM audit",
        "DROP TABLE audit",
    ],
)
async def test_the_servers_role_can_only_add(database: Any, statement: str) -> None:
    server = await asyncpg.connect(database.server_dsn)
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await server.execute(statement)
    finally:
        await server.close()
