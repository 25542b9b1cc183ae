"""Callers that index, search, delete and search again, each time for what was just acknowledged."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any
from urllib.request import urlopen
from uuid import uuid4

import grpc
from facepass.v1 import events_pb2, indexer_pb2, searcher_pb2, types_pb2

from common.vision.fake.engine import FakeEngine
from common.vision.fake.photos import PALETTE, fake_photo

_KEEP = 5
_TIMEOUT_S, _PAUSE_S = 20.0, 0.05
_STORED = (types_pb2.PHOTO_STATE_INDEXED, types_pb2.PHOTO_STATE_DUPLICATE)


@dataclass
class Told:
    """What all callers were told, and what of it was wrong."""

    acknowledged: set[str] = field(default_factory=set)
    deleting: set[str] = field(default_factory=set)
    """Their deletion was asked for, with whatever answer."""
    deleted: set[str] = field(default_factory=set)
    searches: int = 0
    stale: list[str] = field(default_factory=list)
    failed_searches: Counter[str] = field(default_factory=Counter)
    failed_changes: Counter[str] = field(default_factory=Counter)
    longest_pause_s: float = 0.0
    """Between two acknowledged changes of one caller."""

    @property
    def kept(self) -> set[str]:
        """What must be there."""
        return self.acknowledged - self.deleting


class FreshLoad:
    """Each caller has an event and a person of its own, so it knows what a search must find."""

    def __init__(self, servers: Any, *, events: int = 2, callers: int = 4) -> None:
        self._servers = servers
        self.events = [f"{uuid4().hex}-{n}" for n in range(events)]
        self._callers = callers
        self._number = 0
        self.told = Told()

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[Told]:
        for event in self.events:
            await create_event(self._servers, event)
        tasks = [asyncio.create_task(self._call(n)) for n in range(self._callers)]
        try:
            yield self.told
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(each, asyncio.CancelledError) for each in ended), ended

    async def _call(self, caller: int) -> None:
        event = self.events[caller % len(self.events)]
        person = caller * len(PALETTE) // self._callers
        kept: list[str] = []
        gone: list[str] = []
        since_s = monotonic()
        while True:
            self._number += 1
            photo = f"photo-{self._number}"
            done = False
            if len(kept) < _KEEP:
                if done := await self._index(event, photo, person):
                    kept.append(photo)
                    self.told.acknowledged.add(photo)
            else:
                photo = kept.pop(0)
                self.told.deleting.add(photo)
                if done := await self._delete(event, photo):
                    gone.append(photo)
                    self.told.deleted.add(photo)
            if not done:
                await asyncio.sleep(_PAUSE_S)
            if done:
                self.told.longest_pause_s = max(self.told.longest_pause_s, monotonic() - since_s)
                since_s = monotonic()
            await self._search(event, person, kept, gone)

    async def _index(self, event: str, photo: str, person: int) -> bool:
        failed = await index(self._servers, event, photo, person)
        if failed is not None:
            self.told.failed_changes[failed] += 1
        return failed is None

    async def _delete(self, event: str, photo: str) -> bool:
        request = indexer_pb2.DeletePhotoRequest(name=f"events/{event}/photos/{photo}")
        try:
            await self._servers.indexer.DeletePhoto(request, timeout=_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            self.told.failed_changes[error.code().name] += 1
            return False
        return True

    async def _search(self, event: str, person: int, kept: list[str], gone: list[str]) -> None:
        found = await search(self._servers, event, person)
        if isinstance(found, grpc.StatusCode):
            self.told.failed_searches[found.name] += 1
            return
        self.told.searches += 1
        missing, left = set(kept) - found, set(gone) & found
        self.told.stale += [f"{photo} is missing" for photo in missing]
        self.told.stale += [f"{photo} is still found" for photo in left]


async def create_event(servers: Any, event: str) -> None:
    await servers.events.CreateEvent(events_pb2.CreateEventRequest(event_id=event))


async def index(servers: Any, event: str, photo: str, person: int) -> str | None:
    """None where it was acknowledged, else how it failed."""
    request = indexer_pb2.IndexPhotoRequest(
        config=indexer_pb2.IndexPhotosConfig(event=f"events/{event}"),
        photo=indexer_pb2.PhotoHeader(photo_id=photo),
        content=fake_photo([person], size=(160, 120)),
    )
    try:
        response = await servers.indexer.IndexPhoto(request, timeout=_TIMEOUT_S)
    except grpc.aio.AioRpcError as error:
        return str(error.code().name)
    if response.result.state in _STORED:
        return None
    return f"FAILED {response.result.status.code}"


async def search(servers: Any, event: str, person: int) -> set[str] | grpc.StatusCode:
    """Ids of the photos that are found, or how it failed."""
    engine = FakeEngine()
    values = engine.embedding(person, 0).tolist()
    probe = searcher_pb2.Probe(embedding={"values": values, "pack": engine.pack.key})
    request = searcher_pb2.SearchRequest(event=f"events/{event}", probes=[probe], page_size=1000)
    try:
        response = await servers.searcher.Search(request, timeout=_TIMEOUT_S)
    except grpc.aio.AioRpcError as error:
        code: grpc.StatusCode = error.code()
        return code
    return {match.photo.rpartition("/")[2] for match in response.matches}


async def replica_reads(servers: Any) -> Counter[str]:
    """What a Searcher counted, by outcome."""
    address = f"http://127.0.0.1:{servers.searcher_server.metrics_port}/metrics"
    text = await asyncio.to_thread(lambda: urlopen(address, timeout=10).read().decode())
    counted: Counter[str] = Counter()
    for line in text.splitlines():
        if line.startswith("facepass_replica_reads_total{"):
            outcome = line.partition('outcome="')[2].partition('"')[0]
            counted[outcome] = int(float(line.rpartition(" ")[2]))
    return counted
