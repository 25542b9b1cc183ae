"""Very many calls, of which three in ten are cancelled at any moment: nothing grows."""

import asyncio
import gc
import os
from pathlib import Path
from typing import Any

import asyncpg
import load
import psutil
import pytest
from facepass.v1 import events_pb2, searcher_pb2, types_pb2
from load import Plan

from common.vision.fake.engine import FakeEngine

pytestmark = pytest.mark.takes(500)

CONNECTIONS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'facepass'"
MIB = 1024 * 1024


class Held:
    """What this process, and so the servers in it, holds on to."""

    def __init__(self, connections: int) -> None:
        me = psutil.Process(os.getpid())
        self.rss_mib = me.memory_info().rss / MIB
        self.fds = me.num_fds()
        self.tasks = len(asyncio.all_tasks())
        self.connections = connections


async def held(dsn: str) -> Held:
    """Once what was under way has ended."""
    await asyncio.sleep(1)
    connection = await asyncpg.connect(dsn)
    try:
        return Held(await connection.fetchval(CONNECTIONS))
    finally:
        await connection.close()


@pytest.mark.timeout(1_500)
async def test_cancelled_calls_leave_nothing(
    servers: Any, database: Any, tmp_path: Path, long: bool, figure: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    engine = FakeEngine()
    embedding = types_pb2.Embedding(values=engine.embedding(1), pack=engine.pack.key)
    probe = searcher_pb2.Probe(embedding=embedding)
    request = searcher_pb2.SearchRequest(event="events/gala", probes=[probe])
    await servers.events.CreateEvent(events_pb2.CreateEventRequest(event_id="gala"))
    file = tmp_path / "search"
    file.write_bytes(request.SerializeToString())
    calls = 200_000 if long else 2_000
    seconds = 1_200.0 if long else 10.0

    async def churn(seed: int, calls: int) -> load.Tally:
        plan = Plan(
            servers.searcher_address, load.SEARCH, str(file), seconds,
            callers=8, seed=seed, calls=calls, cancelled=0.3,
        )  # fmt: skip
        (tally,) = await load.run(plan)
        assert tally.failed == {}
        assert tally.cancelled and tally.good_ms
        return tally

    # In parts, for what is told of the calls takes memory here, too.
    part, answered, refused, cancelled = calls // 10, 0, 0, 0
    await churn(0, part)
    gc.collect()  # what earlier tests left to be found
    caplog.clear()
    before = await held(database.owner_dsn)
    for seed in range(1, 10):
        tally = await churn(seed, part)
        answered += len(tally.good_ms)
        refused += len(tally.refused_ms)
        cancelled += tally.cancelled
    after = await held(database.owner_dsn)
    made = answered + refused + cancelled
    assert abs(after.fds - before.fds) <= 5
    assert after.tasks <= before.tasks + 2
    assert after.connections <= before.connections + 2
    assert after.rss_mib - before.rss_mib < 10 + made / 10_000
    assert "Task was destroyed" not in caplog.text
    figure(
        "Calls that are cancelled at any moment",
        done=f"{made:,} searches after {part:,} to warm up, three in ten cancelled",
        cancelled=cancelled,
        answered=answered,
        refused=refused,
        server_memory_grew_mib=round(after.rss_mib - before.rss_mib, 1),
        more_descriptors=after.fds - before.fds,
        more_tasks=after.tasks - before.tasks,
        more_database_connections=after.connections - before.connections,
    )
