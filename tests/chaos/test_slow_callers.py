"""Callers that connect and say nothing, send a byte at a time or never read: others do not notice,
and what was held for them comes back."""

import asyncio
import logging
import os
from pathlib import Path
from typing import Any

import load
import psutil
import pytest
from facepass.v1 import events_pb2
from load import Plan
from patience import until
from slow_callers import slow_callers

from indexer.config import IndexerServerSettings, IndexerSettings


@pytest.fixture
async def servers(database: Any, vision: Any, serving: Any) -> Any:
    settings = IndexerServerSettings(
        listen="127.0.0.1:0",
        metrics_listen="127.0.0.1:0",
        idle_timeout_s=5,
        max_connections=10_000,
    )
    async with serving(
        database.settings, vision, indexer_settings=IndexerSettings(indexer=settings)
    ) as running:
        await running.events.CreateEvent(events_pb2.CreateEventRequest(event_id="gala"))
        yield running


def held() -> tuple[int, int, float]:
    """Descriptors, tasks and MiB of memory of this process, and so of the servers in it."""
    me = psutil.Process(os.getpid())
    return me.num_fds(), len(asyncio.all_tasks()), me.memory_info().rss / 1024**2


@pytest.mark.alone
@pytest.mark.slow
async def test_slow_callers_are_not_noticed(
    servers: Any, tmp_path: Path, long: bool, figure: Any, caplog: pytest.LogCaptureFixture
) -> None:
    share = 1 if long else 20
    how_many = {
        "idle": 2_000 // share, "halves": 500 // share, "slow": 200 // share, "deaf": 100 // share
    }  # fmt: skip
    request = events_pb2.GetEventRequest(name="events/gala")
    file = tmp_path / "request"
    file.write_bytes(request.SerializeToString())
    seconds = 10.0 if long else 1.0

    async def p99_ms() -> float:
        plan = Plan(
            servers.indexer_address, "/facepass.v1.Events/GetEvent", str(file), seconds, callers=4
        )
        (tally,) = await load.run(plan)
        assert tally.failed == {} and tally.refused_ms == []
        return sorted(tally.good_ms)[int(0.99 * len(tally.good_ms))]

    async def indexed(more_than: int = -1) -> int:
        """Photos of the event, once no more come."""
        before, now = -1, 0
        while now != before or now <= more_than:
            await asyncio.sleep(0.3)
            answer = await servers.events.GetEvent(request)
            before, now = now, answer.event.counts.photos_indexed
        return now

    alone = [await p99_ms()]
    fds, tasks, rss = held()
    beside: list[float] = []
    for _ in range(2 if long else 1):
        before = await indexed()
        with slow_callers(servers.indexer_address, first_photo=before, **how_many):
            # What they sent is work like anybody's; that they do not read the answers is not.
            await indexed(more_than=before)
            beside.append(await p99_ms())
        alone.append(await p99_ms())
    slower = min(beside) / max(min(alone), 0.001)
    await until(lambda: held()[0] <= fds + 5 and held()[1] <= tasks + 2)
    more_fds, more_tasks, more_rss = (a - b for a, b in zip(held(), (fds, tasks, rss), strict=True))
    assert more_rss < 200
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert slower < 10
    if long:
        assert slower <= 1.5
    figure(
        "Callers that connect and are slow",
        done=f"{how_many['idle']:,} connections without a word, {how_many['halves']} half "
        f"handshakes, {how_many['slow']} streams at a byte a second, {how_many['deaf']} callers "
        "who never read",
        p99_of_others_as_a_multiple_of_that_without_them=round(slower, 2),
        more_descriptors_afterwards=more_fds,
        more_tasks_afterwards=more_tasks,
        server_memory_grew_mib=round(more_rss),
    )
