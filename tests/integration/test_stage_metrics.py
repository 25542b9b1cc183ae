"""What `/metrics` tells of the stages of indexing, and what a report makes of it."""

import asyncio
from typing import Any

import pytest
from facepass.v1 import events_pb2, indexer_pb2

import searcher.app
from bench.stage_report import DEVICE_BUSY, STAGES, Scrape, report, scrape
from common.vision.fake.photos import Command, fake_photo
from common.vision.workers.workload import BusyTime
from searcher.config import SearcherServerSettings, SearcherSettings


async def look(server: Any) -> Scrape:
    return await asyncio.to_thread(scrape, f"127.0.0.1:{server.metrics_port}")


@pytest.fixture
async def gala(servers: Any) -> Any:
    await servers.events.CreateEvent(events_pb2.CreateEventRequest(event_id="gala"))
    return servers


async def index(servers: Any, photo: str, content: bytes) -> None:
    request = indexer_pb2.IndexPhotoRequest(
        config=indexer_pb2.IndexPhotosConfig(event="events/gala"),
        photo=indexer_pb2.PhotoHeader(photo_id=photo),
        content=content,
    )
    await servers.indexer.IndexPhoto(request)


async def test_every_stage_of_a_photo_is_told(gala: Any) -> None:
    before = await look(gala.indexer_server)
    photos = [index(gala, f"photo-{n}", fake_photo([n, n + 1])) for n in range(12)]
    await asyncio.gather(*photos)
    after = await look(gala.indexer_server)
    for stage in STAGES:
        assert after.value("facepass_stage_seconds_count", stage=stage) == 12
        assert after.value("facepass_stage_seconds_sum", stage=stage) > 0
    assert after.value("facepass_commit_photos_sum") == 12
    assert 1 <= after.value("facepass_commit_photos_count") <= 12
    commits = after.value("facepass_commit_photos_count")
    assert after.value("facepass_commit_seconds_count") == commits
    busy = "facepass_worker_busy_seconds_total"
    assert after.value("facepass_workers") == 2
    assert 0 < after.value(busy) - before.value(busy) < 2 * (after.at_s - before.at_s)

    told = report(before, after)
    assert (told.photos, told.faces, told.workers) == (12, 24, 2)
    assert 0 < told.workers_share <= 1
    assert told.photos_per_s < told.ideal_per_s
    assert all(name in told.text() for name in (*STAGES, "limit: "))


async def test_what_finds_the_faces_is_told(gala: Any, vision: Any) -> None:
    told = await look(gala.indexer_server)
    about = {"engine": "fake", "provider": "CPU", "pack": vision.pack.key}
    assert told.value("facepass_engine_info", **about) == 1


async def test_what_waits_and_what_is_worked_on(gala: Any) -> None:
    slow = fake_photo([1], command=Command.SLOW)
    photos = [asyncio.create_task(index(gala, f"photo-{n}", slow)) for n in range(6)]
    most_waiting = most_busy = 0.0
    while not all(photo.done() for photo in photos):
        seen = await look(gala.indexer_server)
        most_waiting = max(most_waiting, seen.value("facepass_images_waiting", lane="photos"))
        most_busy = max(most_busy, seen.value("facepass_workers_busy"))
    assert (most_busy, most_waiting > 0) == (2, True)
    seen = await look(gala.indexer_server)
    assert seen.value("facepass_workers_busy") == 0
    assert seen.value("facepass_images_waiting", lane="photos") == 0


async def test_shared_workers_are_told_once(database: Any, vision: Any, servers: Any) -> None:
    workers = ("facepass_workers", frozenset[tuple[str, str]]())
    assert workers in (await look(servers.indexer_server)).values
    assert workers not in (await look(servers.searcher_server)).values
    listen = SearcherServerSettings(listen="127.0.0.1:0", metrics_listen="127.0.0.1:0")
    settings = SearcherSettings(searcher=listen, database=database.settings)
    async with searcher.app.running(settings, vision) as alone:
        assert workers in (await look(alone)).values


def scraped(at_s: float, **values: float) -> Scrape:
    """Metrics without labels, and stages by their own names."""
    stages = {f"{stage}_s": stage for stage in STAGES}
    found = {}
    for name, value in values.items():
        if name in stages:
            labels = frozenset({("stage", stages[name])})
            found["facepass_stage_seconds_sum", labels] = value
            found["facepass_stage_seconds_count", labels] = values["photos"]
        elif name == "photos":
            found["facepass_photos_total", frozenset({("state", "INDEXED")})] = value
        else:
            found[name, frozenset()] = value
    return Scrape(at_s, found)


@pytest.mark.parametrize(
    ("busy_s", "commit_s", "cpu_s", "device_s", "limit"),
    [
        (19.0, 1.0, 2.0, None, "workers, by detect"),
        (19.0, 1.0, 2.0, 3.0, "workers, by detect"),
        (19.0, 1.0, 2.0, 9.0, "device"),
        (4.0, 9.5, 2.0, None, "commits"),
        (12.0, 1.0, 9.9, None, "server process"),
        (12.0, 1.0, 2.0, 4.0, "nothing here: photos come too slowly"),
    ],
)
def test_the_limit_is_what_is_always_busy(
    busy_s: float, commit_s: float, cpu_s: float, device_s: float | None, limit: str
) -> None:
    after = scraped(
        10.0,
        photos=100,
        decode_s=4.0,
        detect_s=8.0,
        embed_s=4.0,
        facepass_workers=2,
        facepass_worker_busy_seconds_total=busy_s,
        facepass_commit_seconds_sum=commit_s,
        process_cpu_seconds_total=cpu_s,
        **({DEVICE_BUSY: device_s} if device_s else {}),
    )
    told = report(scraped(0.0), after)
    assert told.limit == limit
    assert ("device: busy" in told.text()) == (device_s is not None)
    assert told.photos_per_s == pytest.approx(10)
    assert told.ideal_per_s == pytest.approx(2 * 100 / 16)


def test_busy_time_only_grows_and_counts_every_worker() -> None:
    time = BusyTime()
    assert (time.busy, time.seconds) == (0, 0)
    time.begin()
    time.begin()
    first = time.seconds
    assert 0 < first <= time.seconds and time.busy == 2
    time.end()
    time.end()
    last = time.seconds
    assert (time.busy, time.seconds) == (0, last) and last > first
