"""Callers that give up soon, while everything is busy: what nobody waits for is never worked on,
and its places are free at once."""

import asyncio
import time
from typing import Any

import grpc
import pytest
from facepass.v1 import events_pb2, searcher_pb2
from patience import until

from common.config import EngineSettings, ImageLimits
from common.vision.fake.engine import SLOW_S
from common.vision.fake.photos import Command, fake_photo
from common.vision.types import AnalyzeOptions
from common.vision.workers.pool import WorkerPool
from searcher.config import SearcherServerSettings, SearcherSettings

CALLS = 200
SLOW = fake_photo([1], command=Command.SLOW)
# All of them may come in at once, so that it is not the limit that keeps them from the workers.
ALL_ADMITTED = SearcherSettings(
    searcher=SearcherServerSettings(
        listen="127.0.0.1:0",
        metrics_listen="127.0.0.1:0",
        max_searches=CALLS + 8,
        calls_per_connection=CALLS + 8,
    )
)


@pytest.fixture
async def pool() -> Any:
    pool = WorkerPool(EngineSettings(kind="fake", workers=1, queue_size=CALLS + 8), ImageLimits())
    await pool.start()
    yield pool
    await pool.close()


def search(image: bytes) -> searcher_pb2.SearchRequest:
    return searcher_pb2.SearchRequest(event="events/gala", probes=[searcher_pb2.Probe(image=image)])


async def test_expired_calls_are_dropped(
    database: Any, serving: Any, pool: WorkerPool, figure: Any
) -> None:
    async with serving(database.settings, pool, searcher_settings=ALL_ADMITTED) as servers:
        await servers.events.CreateEvent(events_pb2.CreateEventRequest(event_id="gala"))
        await servers.searcher.Search(search(fake_photo([1])))
        # The one worker is busy with two photos, so what comes now has to wait.
        options = AnalyzeOptions()
        photos = [asyncio.create_task(pool.analyze(SLOW, options, urgent=True)) for _ in range(2)]
        await until(lambda: pool.busy == 1)
        worked_s = pool.workload.busy_s
        codes = await asyncio.gather(*(give_up(servers, 0.02) for _ in range(CALLS)))
        given_up = time.perf_counter()
        assert set(codes) == {grpc.StatusCode.DEADLINE_EXCEEDED}
        await until(lambda: pool.waiting <= 1)
        freed_s = time.perf_counter() - given_up
        await asyncio.gather(*photos)
        answer = await servers.searcher.Search(search(fake_photo([1])), timeout=10)
        assert answer.probes[0].usable
        # Had they been worked on, each would have taken as long as one of the photos.
        ran = (pool.workload.busy_s - worked_s) / SLOW_S
        assert ran < 2 + CALLS * 0.05
        assert pool.waiting == 0
        figure(
            "Calls whose deadline passes while they wait",
            done=f"{CALLS} searches with 20 ms each, to a server whose worker is busy",
            given_up=CALLS,
            their_places_were_free_within_1_s="yes" if freed_s < 1 else f"after {freed_s:.1f} s",
            worker_time_in_images=round(ran, 1),
        )
        assert freed_s < 1


async def give_up(servers: Any, timeout_s: float) -> grpc.StatusCode:
    """Search with little time; returns the status."""
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await servers.searcher.Search(search(SLOW), timeout=timeout_s)
    return failed.value.code()
