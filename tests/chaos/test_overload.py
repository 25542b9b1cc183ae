"""More calls than a server can answer: it answers as many as ever, as fast as ever, and says to the
others at once when to try again."""

import os
from pathlib import Path
from typing import Any

import load
import psutil
import pytest
from facepass.v1 import events_pb2, searcher_pb2
from facepass.v1 import indexer_pb2 as pb
from load import Plan, Tally

from common.config import EngineSettings, ImageLimits
from common.rpc.admission import calls_for
from common.vision.fake.photos import fake_photo
from common.vision.workers.pool import WorkerPool

# Takes a worker much longer than it takes anybody to send, so that the worker is what there is
# too little of.
PICTURE = fake_photo([1], size=(960, 720))
MIB = 1024 * 1024
ADMITTED = calls_for(1)


@pytest.fixture
async def servers(database: Any, serving: Any) -> Any:
    pool = WorkerPool(EngineSettings(kind="fake", workers=1), ImageLimits())
    await pool.start()
    try:
        async with serving(database.settings, pool) as running:
            await running.events.CreateEvent(events_pb2.CreateEventRequest(event_id="gala"))
            yield running
    finally:
        await pool.close()


def requests(servers: Any, folder: Path) -> dict[str, tuple[str, str, str]]:
    """Address, method and file with the request, by what is called."""
    probe = searcher_pb2.Probe(image=PICTURE)
    search = searcher_pb2.SearchRequest(event="events/gala", probes=[probe])
    photo = pb.IndexPhotoRequest(config=pb.IndexPhotosConfig(event="events/gala"), content=PICTURE)
    (folder / "search").write_bytes(search.SerializeToString())
    (folder / "photo").write_bytes(photo.SerializeToString())
    return {
        "searches": (servers.searcher_address, load.SEARCH, str(folder / "search")),
        "photos": (servers.indexer_address, load.INDEX, str(folder / "photo")),
    }


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def rss_mib() -> float:
    return psutil.Process(os.getpid()).memory_info().rss / MIB


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.parametrize("what", ["searches", "photos"])
async def test_overload(servers: Any, tmp_path: Path, long: bool, figure: Any, what: str) -> None:
    address, method, request = requests(servers, tmp_path)[what]
    # All tests of faults have half an hour: photos get one minute a rate, searches two.
    seconds = {"searches": 120.0, "photos": 60.0}[what] if long else 2.0

    async def go(number: int, **how: Any) -> Tally:
        (tally,) = await load.run(Plan(address, method, request, seed=number, **how))
        assert tally.failed == {}
        assert tally.untold == 0
        return tally

    # As many callers as are admitted: this is the peak.
    peaks = [
        await go(n, seconds=10 if long else 0.7, callers=ADMITTED) for n in range(2 if long else 1)
    ]
    peak = max(len(tally.good_ms) / tally.seconds for tally in peaks)
    # Enough calls for a look at the slowest, however slow the machine is.
    seconds = max(seconds, 60 / peak)

    async def near(number: int) -> list[float]:
        tally = await go(number, seconds=seconds / (8 if long else 2), rate=0.8 * peak)
        return tally.good_ms

    looks = [await near(10)]
    before = rss_mib()
    for times in (2, 5):
        over = await go(times, seconds=seconds, rate=times * peak)
        if long:  # by turns, as the machine is not always as fast
            looks.append(await near(10 * times))
        near_ms = [ms for look in looks[-2:] for ms in look]
        goodput = len(over.good_ms) / over.seconds / peak
        slower = percentile(over.good_ms, 0.99) / percentile(near_ms, 0.99)
        refusal_ms = percentile(over.refused_ms, 0.99)
        assert over.refused_ms and over.health_ms
        assert goodput > 0.4
        # With as many as are admitted at a time, the queue was full then too.
        assert percentile(over.good_ms, 0.99) < 4 * percentile(peaks[0].good_ms, 0.99)
        if long:
            assert goodput >= 0.9
            assert slower <= 2
            assert refusal_ms <= 20
            assert rss_mib() - before < 50
        figure(
            f"{times} times as many {what} as a server can answer",
            done=f"{seconds:.0f} s of calls that do not wait for those before, "
            f"{times} times the peak",
            answered=len(over.good_ms),
            refused_with_when_to_try_again=len(over.refused_ms),
            answered_a_second_of_the_peak=round(goodput, 2),
            p99_over_that_at_four_fifths_of_the_peak=round(slower, 2),
            p99_of_a_refusal_ms=round(refusal_ms, 1),
            p99_of_a_health_check_ms=round(percentile(over.health_ms, 0.99), 1),
            server_memory_grew_mib=round(rss_mib() - before),
        )
