"""An event's day in minutes: photos come in, guests search, at times too many of them at once."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
from facepass.v1 import (
    events_pb2,
    events_pb2_grpc,
    indexer_pb2,
    indexer_pb2_grpc,
    searcher_pb2,
    searcher_pb2_grpc,
)
from fault_load import create_event

from common.vision.fake.photos import fake_photo
from demo.album import read_labels

DEADLINE_S = 10.0
Step = Callable[[], Awaitable[None]]
_BURST = 10
_OPTIONS = [("grpc.max_send_message_length", 64 * 1024 * 1024)]


@dataclass(frozen=True)
class Material:
    """photos, selfies: what the files hold. engine: settings of what finds the faces in them."""

    photos: tuple[bytes, ...]
    selfies: tuple[bytes, ...]
    engine: Mapping[str, str]

    @classmethod
    def drawn(cls) -> "Material":
        """For the fake engine: eight people, two in each photo."""
        people = range(1, 9)
        photos = tuple(fake_photo([one, one % 8 + 1]) for one in people)
        selfies = tuple(fake_photo([one]) for one in people)
        return cls(photos, selfies, {"ENGINE__KIND": "fake"})

    @classmethod
    def real(cls, folder: Path, pack: Path) -> "Material":
        """Labelled photos; those of one person alone are the selfies."""
        people = read_labels(folder / "labels.csv")
        alone = [name for name, shown in sorted(people.items()) if len(shown) == 1]
        return cls(
            tuple((folder / name).read_bytes() for name in sorted(people)),
            tuple((folder / name).read_bytes() for name in alone),
            {"ENGINE__KIND": "onnx", "ENGINE__PACK": str(pack)},
        )


class BusyDay:
    """The callers of one Indexer and one Searcher. Whatever goes wrong, they go on."""

    def __init__(self, indexer: str, searcher: str, material: Material) -> None:
        self._indexer, self._searcher = indexer, searcher
        self._material = material
        self._number = itertools.count(1)

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        """Go on for as long as the context lasts."""
        async with (
            grpc.aio.insecure_channel(self._indexer, _OPTIONS) as indexing,
            grpc.aio.insecure_channel(self._searcher, _OPTIONS) as searching,
        ):
            self._events = events_pb2_grpc.EventsStub(indexing)
            self._index = indexer_pb2_grpc.IndexerStub(indexing)
            self._search = searcher_pb2_grpc.SearcherStub(searching)
            await create_event(indexing)
            steps: dict[Step, float] = {
                self._photo: 0.2,
                self._guest: 0.5,
                self._crowd: 20.0,
                self._graph: 30.0,
                self._short_event: 15.0,
            }
            tasks = [asyncio.create_task(_again(*each)) for each in steps.items()]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _photo(self, event: str = "gala") -> None:
        """One in ten is none."""
        number = next(self._number)
        photos = self._material.photos
        content = b"no photo" if number % 10 == 0 else photos[number % len(photos)]
        await self._index.IndexPhoto(
            indexer_pb2.IndexPhotoRequest(
                config=indexer_pb2.IndexPhotosConfig(event=f"events/{event}"),
                photo=indexer_pb2.PhotoHeader(photo_id=f"photo-{number}"),
                content=content,
            ),
            timeout=DEADLINE_S,
        )

    async def _guest(self, event: str = "gala", *, exact: bool = False) -> None:
        selfies = self._material.selfies
        probe = searcher_pb2.Probe(image=selfies[next(self._number) % len(selfies)])
        request = searcher_pb2.SearchRequest(event=f"events/{event}", probes=[probe], exact=exact)
        await self._search.Search(request, timeout=DEADLINE_S)

    async def _crowd(self) -> None:
        """More at once than are let in."""
        guests = [self._guest(exact=number % 2 == 0) for number in range(_BURST)]
        await asyncio.gather(*guests, return_exceptions=True)

    async def _graph(self) -> None:
        request = indexer_pb2.OptimizeEventRequest(name="events/gala")
        await self._index.OptimizeEvent(request, timeout=DEADLINE_S)

    async def _short_event(self) -> None:
        """It is made, searched and deleted."""
        event = f"short-{next(self._number)}"
        await self._events.CreateEvent(
            events_pb2.CreateEventRequest(event_id=event), timeout=DEADLINE_S
        )
        try:
            for _ in range(3):
                await self._photo(event)
                await self._guest(event)
        finally:
            await self._events.DeleteEvent(
                events_pb2.DeleteEventRequest(name=f"events/{event}"), timeout=DEADLINE_S
            )


async def _again(step: Step, pause_s: float) -> None:
    while True:
        try:
            await step()
        except grpc.aio.AioRpcError:
            await asyncio.sleep(0.5)
        await asyncio.sleep(pause_s)
