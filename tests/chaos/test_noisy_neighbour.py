"""One asks for ten times its quota; another, within its own, does not notice."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import load
import pytest
from facepass.v1 import events_pb2, searcher_pb2
from load import Plan, Tally

from common.config import EngineSettings, ImageLimits, QuotaSettings
from common.vision.fake.photos import fake_photo
from common.vision.workers.pool import WorkerPool
from searcher.config import SearcherServerSettings, SearcherSettings

# What comes at once, ten calls, is less than the server lets in at a time.
PER_S, BURST_S = 10, 1
QUOTA = QuotaSettings(event_searches_per_minute=60 * PER_S, burst_s=BURST_S)
PICTURE = fake_photo([1])


@pytest.fixture
def answering(database: Any, serving: Any) -> Any:
    """Servers with one worker and some quota, which know the events `loud` and `quiet`."""

    @asynccontextmanager
    async def serve(quota: QuotaSettings) -> AsyncIterator[Any]:
        pool = WorkerPool(EngineSettings(kind="fake", workers=1), ImageLimits())
        server = SearcherServerSettings(listen="127.0.0.1:0", metrics_listen="127.0.0.1:0")
        settings = SearcherSettings(searcher=server, quota=quota)
        await pool.start()
        try:
            async with serving(database.settings, pool, searcher_settings=settings) as running:
                yield running
        finally:
            await pool.close()

    return serve


def percentile(tallies: list[Tally], share: float) -> float:
    values = sorted(ms for tally in tallies for ms in tally.good_ms)
    return values[min(len(values) - 1, int(share * len(values)))]


@pytest.mark.alone
@pytest.mark.slow
async def test_a_noisy_neighbour(answering: Any, tmp_path: Path, long: bool, figure: Any) -> None:
    seconds, rounds = (15.0, 3) if long else (4.0, 1)
    for event in ("loud", "quiet"):
        probe = searcher_pb2.Probe(image=PICTURE)
        request = searcher_pb2.SearchRequest(event=f"events/{event}", probes=[probe])
        (tmp_path / event).write_bytes(request.SerializeToString())

    async def go(servers: Any, event: str, rate: float, seed: int) -> Tally:
        plan = Plan(
            servers.searcher_address,
            load.SEARCH,
            str(tmp_path / event),
            seconds=seconds,
            rate=rate,
            seed=seed,
        )
        (tally,) = await load.run(plan)
        return tally

    alone, beside, loud = [], [], []
    async with answering(QUOTA) as servers:
        for event in ("loud", "quiet"):
            await servers.events.CreateEvent(events_pb2.CreateEventRequest(event_id=event))
        for n in range(rounds):
            alone.append(await go(servers, "quiet", 0.5 * PER_S, n))
            both = go(servers, "quiet", 0.5 * PER_S, n), go(servers, "loud", 10 * PER_S, n)
            quiet, noisy = await asyncio.gather(*both)
            beside.append(quiet)
            loud.append(noisy)
    async with answering(QuotaSettings()) as servers:
        both = go(servers, "quiet", 0.5 * PER_S, 0), go(servers, "loud", 10 * PER_S, 0)
        unbound, _ = await asyncio.gather(*both)

    asked = sum(len(tally.good_ms) + len(tally.refused_ms) for tally in beside)
    served = sum(len(tally.good_ms) for tally in beside)
    given = sum(len(tally.good_ms) for tally in loud)
    allowed = sum(PER_S * (tally.seconds + BURST_S) for tally in loud)
    slower = percentile(beside, 0.99) / percentile(alone, 0.99)
    assert [tally.failed for tally in beside + loud] == [{}] * len(beside + loud)
    assert served / asked >= 0.999
    assert all(tally.refused_ms and not tally.untold for tally in loud)
    assert allowed / 2 <= given <= allowed
    if long:
        assert slower <= 1.5
    figure(
        "a noisy neighbour",
        page="security",
        done=f"one event asks for 10 times its quota of searches, another for half of its own, "
        f"{rounds * seconds:g} s",
        quiet_served=f"{served} of {asked}",
        quiet_p99_of_that_alone=round(slower, 2),
        without_quotas=round(percentile([unbound], 0.99) / percentile(alone, 0.99), 2),
        loud_served=given,
        loud_refused=sum(len(tally.refused_ms) for tally in loud),
    )
