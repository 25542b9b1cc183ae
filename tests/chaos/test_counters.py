"""What servers tell Prometheus is what their callers were told."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Any

import grpc
import psutil
import pytest
from call_journal import CallJournal
from counters import counted
from facepass.v1 import (
    events_pb2,
    events_pb2_grpc,
    indexer_pb2,
    indexer_pb2_grpc,
    searcher_pb2,
    searcher_pb2_grpc,
)
from fleet import Fleet, Place

from common.vision.fake.photos import Command, fake_photo

pytestmark = pytest.mark.takes(110)

Counts = Counter[tuple[str, ...]]


class Talk:
    """One caller of an Indexer and a Searcher, to whom all sorts of things are told."""

    def __init__(self, journal: CallJournal, indexer: str, searcher: str, name: str) -> None:
        options = [("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1)]
        self._channels = [grpc.aio.insecure_channel(each, options) for each in (indexer, searcher)]
        self._indexer = indexer_pb2_grpc.IndexerStub(self._channels[0])
        self._searcher = searcher_pb2_grpc.SearcherStub(self._channels[1])
        self._journal, self._name = journal, name
        self._config = indexer_pb2.IndexPhotosConfig(event="events/counted")

    async def go_on(self, rounds: range) -> None:
        """Photos that are indexed, known already, no images, or too much for a worker; searches
        that are answered, of no event, or of nobody."""
        for number in rounds:
            photo = fake_photo([number % 40], shot=number % 8)
            crash = fake_photo([1], command=Command.CRASH)
            for content in (photo, photo, b"no image", crash if number % 8 == 0 else b""):
                await self._journal.call(self._indexer, "IndexPhoto", self._index(number, content))
            await self._journal.stream(self._indexer, list(self._photos(number, photo)))
            for event in ("events/counted", "events/nowhere", "rubbish"):
                probes = [searcher_pb2.Probe(image=photo)]
                request = searcher_pb2.SearchRequest(event=event, probes=probes)
                await self._journal.call(self._searcher, "Search", request)
            nobody = searcher_pb2.EvaluateSelfieRequest(image=b"no image")
            await self._journal.call(self._searcher, "EvaluateSelfie", nobody)

    async def close(self) -> None:
        await asyncio.gather(*(channel.close() for channel in self._channels))

    def _index(self, number: int, content: bytes) -> indexer_pb2.IndexPhotoRequest:
        header = indexer_pb2.PhotoHeader(photo_id=f"{self._name}-{number}-{len(content)}")
        return indexer_pb2.IndexPhotoRequest(config=self._config, photo=header, content=content)

    def _photos(self, number: int, photo: bytes) -> Iterator[indexer_pb2.IndexPhotosRequest]:
        """One that is known, one that is new, one that ends too early."""
        event = "events/counted" if number % 3 else "events/nowhere"
        yield indexer_pb2.IndexPhotosRequest(config=indexer_pb2.IndexPhotosConfig(event=event))
        known = f"{self._name}-{number}-{len(photo)}"
        for photo_id, length in ((known, 0), (f"{known}-new", 0), (f"{known}-cut", 10**6)):
            header = indexer_pb2.PhotoHeader(photo_id=photo_id, content_length=length)
            yield indexer_pb2.IndexPhotosRequest(photo=header)
            yield indexer_pb2.IndexPhotosRequest(
                chunk=indexer_pb2.PhotoChunk(data=photo, last=True)
            )

    async def create_event(self) -> None:
        events = events_pb2_grpc.EventsStub(self._channels[0])
        request = events_pb2.CreateEventRequest(event_id="counted")
        await self._journal.call(events, "CreateEvent", request)


def counts(fleet: Fleet) -> tuple[Counts, Counts]:
    """Calls by method and code, photos by state, of all servers."""
    rpcs, photos = Counts(), Counts()
    for member in fleet.members:
        of_member = counted(member.metrics, "facepass_rpcs_total", "method", "code")
        for (method, code), number in of_member.items():
            rpcs[method.rpartition("/")[2], code] += number
        photos.update(counted(member.metrics, "facepass_photos_total", "state"))
    return rpcs, photos


def kill_workers(fleet: Fleet) -> None:
    for member in fleet.of("indexer"):
        for worker in psutil.Process(member.run.pid).children():
            worker.kill()


@pytest.mark.slow
@pytest.mark.timeout(800)
async def test_counters_are_what_callers_were_told(place: Place, long: bool, figure: Any) -> None:
    """With workers that are killed, and servers that are restarted in good order: their counters
    are read before."""
    fleet, rounds = place.fleet, 60 if long else 4
    journal = CallJournal(place.folder / "counted.jsonl")
    rpcs, photos = Counts(), Counts()
    for part in range(2):
        pairs = [*zip(fleet.of("indexer"), fleet.of("searcher"), strict=True)] * 2
        talks = [
            Talk(journal, one.address, other.address, f"{number}-{part}")
            for number, (one, other) in enumerate(pairs)
        ]
        await talks[0].create_event()
        calls = [asyncio.create_task(talk.go_on(range(rounds))) for talk in talks]
        await asyncio.sleep(0.5)
        kill_workers(fleet)
        await asyncio.gather(*calls)
        await asyncio.gather(*(talk.close() for talk in talks))
        for total, counted_now in zip((rpcs, photos), counts(fleet), strict=True):
            total.update(counted_now)
        if part == 0:
            await asyncio.gather(*(member.restarted() for member in fleet.members))
    calls_told, photos_told = journal.told("call"), journal.told("photo")
    # Refused while more of the stream was being sent: only streams of no event are.
    calls_told["IndexPhotos", "NOT_FOUND"] += calls_told.pop(("IndexPhotos", "LOST"), 0)
    assert rpcs == calls_told
    assert photos == photos_told
    assert {"INDEXED", "DUPLICATE", "REJECTED", "FAILED"} == {state for (state,) in photos}
    figure(
        "Counters held against what callers were told",
        done="photos of all kinds and calls that fail, by two Indexers and two Searchers whose "
        "workers are killed; the servers are restarted once",
        calls_told=calls_told.total(),
        calls_counted=rpcs.total(),
        codes=", ".join(sorted({code for _, code in rpcs})),
        photos_told=photos_told.total(),
        photos_counted=photos.total(),
    )
