"""FacePass below the wire with a builder that can be stepped, and a model that compares every
face."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import uuid4

import numpy as np
import pytest
from numpy.typing import NDArray

from common.calibration import Calibration
from common.config import ImageLimits, QuotaSettings
from common.db.events import EventReader, PackRegistry
from common.db.opening import open_database
from common.db.pool import Connection, Database
from common.event import StoredPack
from common.metrics import Metrics
from common.names import EventName
from common.photo import FoundPhoto, PhotoInfo, StoredFace
from common.quotas.buckets import MemoryBuckets
from common.quotas.people import PeopleBudget
from common.quotas.quotas import Quotas
from common.vision.types import Analysis, Box, Detection, Face, Pack, Quality
from indexer.config import PromotionSettings
from indexer.event_repository import EventRepository
from indexer.graphs.drop_repository import RelationDrops
from indexer.graphs.operation_repository import OperationQueue, OperationRepository
from indexer.graphs.operations import Claim, Progress
from indexer.graphs.promotion import Promotion
from indexer.graphs.recall import RecallWatch
from indexer.graphs.recall_repository import RecallRepository
from indexer.graphs.relation_repository import RelationRepository
from indexer.repository import PhotoRepository
from indexer.write_repository import PhotoWrite, WriteRepository
from searcher import hot_gallery, seen_events
from searcher.config import GallerySettings, SearcherServerSettings
from searcher.galleries import Galleries
from searcher.hot_gallery import INLINE_FACES
from searcher.probes import EmbeddingProbe, ProbeReader
from searcher.repository import Source
from searcher.search import After, Query, Search
from searcher.template_repository import TemplateRepository
from searcher.thresholds import Cut

D, PEOPLE, LOOKS, PHOTOS = 16, 4, 3, 6
PACK = Pack("machine@00000000", "fake", D, "MIT", True, 0.5, 0.75, Calibration(0.0, 0.25))
T = TypeVar("T")
Look = tuple[int, int]
"""A person, and how it looks this time."""


def tell(event: EventName, face: StoredFace, photo: FoundPhoto) -> bytes:
    """Enough to see that the right rows were read."""
    return f"{event} {face.photo_no} {face.face_no} {photo.info.photo_id != ''}".encode()


def embedding(look: Look) -> NDArray[np.float32]:
    """(D,) unit length: looks of one person are alike, those of two hardly."""
    person, shot = look
    vector = np.random.default_rng(person).standard_normal(D)
    vector += 0.4 * np.random.default_rng((person, shot)).standard_normal(D)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


EMBEDDINGS = {(p, s): embedding((p, s)) for p in range(PEOPLE) for s in range(LOOKS)}
HALVES = {
    look: [float(value) for value in vector.astype(np.float16)]
    for look, vector in EMBEDDINGS.items()
}


def similarity(one: Look, other: Look) -> float:
    """As told: summed by hand, in plain floats."""
    return round(sum(a * b for a, b in zip(HALVES[one], HALVES[other], strict=True)), 4)


SIMILARITY = {(one, other): similarity(one, other) for one in HALVES for other in HALVES}


@dataclass
class ModelPhoto:
    """What an acknowledged photo holds."""

    number: int
    looks: tuple[Look, ...]
    faces: dict[int, Look] = field(default_factory=dict)


Expected = tuple[float, int, int]
"""Similarity, photo number and face number of a candidate."""


def brute_force(
    photos: Iterable[ModelPhoto], probe: Look, lowest: float, *, by_face: bool
) -> list[Expected]:
    """The whole answer, in order."""
    order: list[Expected] = []
    for photo in photos:
        here = [
            (-SIMILARITY[probe, look], photo.number, face_no)
            for face_no, look in photo.faces.items()
            if SIMILARITY[probe, look] >= lowest
        ]
        order += here if by_face else sorted(here)[:1]
    return [(-value, photo_no, face_no) for value, photo_no, face_no in sorted(order)]


class World:
    """FacePass below the wire, with one Searcher that has memory and one that has none."""

    def __init__(
        self, database: Database, pack: StoredPack, vision: Any, patch: pytest.MonkeyPatch
    ) -> None:
        self._patch = patch
        self._large = False
        self.database = database
        self._vision = vision
        self._metrics = Metrics()
        self.reader = EventReader(PackRegistry())
        self.events = EventRepository(database, self.reader)
        self.photos = PhotoRepository(database, self.reader)
        self.writes = WriteRepository(database, self.reader, pack)
        self.hot = self._galleries(10**8)
        self.cold = self._galleries(0)
        self.results = 0
        self.thorough = False
        self.steps = 0
        self.in_graph = 0
        self.missed = 0
        self.sources: set[Source] = set()

    def _galleries(self, memory_bytes: int) -> Galleries:
        repository = TemplateRepository(self.database, self.database, self.reader)
        return Galleries(repository, GallerySettings(memory_bytes=memory_bytes), self._metrics)

    async def begin_build(
        self, event: EventName, hnsw_min_faces: int
    ) -> tuple[asyncio.Task[Any], "Stepping"]:
        """A builder that stands before its first transaction."""
        stepping, server, metrics = Stepping(self.database), uuid4(), self._metrics
        here = await self.events.get(event)
        operation = await OperationRepository(self.database).open(here)
        async with self.database.transaction() as connection:
            # As a claim takes it, of this event: also from a builder that was killed.
            await connection.execute(
                "UPDATE operation SET claimed_by = $2, heartbeat = now() WHERE operation_id = $1",
                operation.operation_id,
                server,
            )
        claim = Claim(operation.operation_id, server, event, here.uid, operation.create_time)
        queue = OperationQueue(stepping, server, stale_s=0.0)
        settings = PromotionSettings(hnsw_min_faces=hnsw_min_faces)
        promotion = Promotion(
            RelationRepository(stepping, self.reader),
            RelationDrops(stepping),
            RecallWatch(RecallRepository(stepping), metrics, settings.target_recall),
            queue,
            settings,
            metrics,
        )

        async def work() -> None:
            await queue.finish(claim, await promotion.run(claim, Progress()))

        return asyncio.create_task(work()), stepping

    def restart(self) -> None:
        """A Searcher's memory is all that it has. Every other one takes galleries for large."""
        self._large = not self._large
        most_inline = 0 if self._large else INLINE_FACES
        self._patch.setattr(hot_gallery, "INLINE_FACES", most_inline)
        self.hot = self._galleries(10**8)

    async def search(
        self, event: EventName, probe: Look, lowest: float, *, by_face: bool, hot: bool,
        exact: bool, page_size: int,
    ) -> tuple[list[Expected], Source]:  # fmt: skip
        """Every page of a search, put together."""
        metrics = self._metrics
        quotas = Quotas(QuotaSettings(), MemoryBuckets(), metrics)
        people = PeopleBudget(0, metrics)
        probes = ProbeReader(self._vision, SearcherServerSettings(), ImageLimits(), quotas)
        galleries = self.hot if hot else self.cold
        database = self.database
        search = Search(
            database, database, self.reader, probes, PACK, galleries, tell, people, metrics
        )
        found: list[Expected] = []
        after: After | None = None
        while True:
            asked = EmbeddingProbe(EMBEDDINGS[probe], PACK.key)
            answer = await search.search(
                Query(event, [asked], Cut(lowest), by_face, exact, after, page_size)
            )
            for match in answer.matches:
                value, photo_no, face_no = match.candidate.position
                assert match.told == f"{event} {photo_no} {face_no} True".encode()
                found.append((-value, photo_no, face_no))
            assert len(found) <= answer.total
            if not answer.more:
                assert len(found) == answer.total
                await galleries.settled()
                self.results += len(found)
                self.sources.add(answer.source)
                return found, answer.source
            after = After(answer.event.uid, answer.matches[-1].candidate.position)


@asynccontextmanager
async def open_world(database: Any, vision: Any) -> AsyncIterator[World]:
    async with open_database(database.settings) as pool:
        registry = PackRegistry()
        async with pool.transaction() as connection:
            pack = await registry.register(connection, PACK)
        with pytest.MonkeyPatch.context() as patch:
            # What has just changed is searched as if it might be the same still.
            patch.setattr(hot_gallery, "_SETTLED_S", 0.0)
            patch.setattr(seen_events, "_SETTLED_S", 0.0)
            yield World(pool, pack, vision, patch)


def photo_write(photo: str, looks: tuple[Look, ...], *, replace: bool) -> PhotoWrite:
    faces = tuple(
        Face(
            Detection(Box(10.0 * i, 0.0, 10.0, 10.0), np.zeros((5, 2), dtype=np.float32), 0.9),
            Quality(0.9, 0.9, 0.5, 0.0, 0.0, 0.0),
            (),
            EMBEDDINGS[look],
        )
        for i, look in enumerate(looks)
    )
    digest = hashlib.sha256(repr(looks).encode()).digest()
    return PhotoWrite(PhotoInfo(photo), digest, 100, Analysis(100, 100, faces), replace)


class Stepping(Database):
    """The same database, in which each transaction waits until it is allowed: whatever else is to
    happen between two of a builder's transactions happens there."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._allowed = asyncio.Semaphore(0)
        self._at_the_gate = asyncio.Event()

    @asynccontextmanager
    async def _transaction(self, *args: Any, **options: Any) -> AsyncIterator[Connection]:
        self._at_the_gate.set()
        await self._allowed.acquire()
        async with self._database._transaction(*args, **options) as connection:
            yield connection

    async def step(self, work: asyncio.Task[Any]) -> None:
        """Let `work` do one transaction; returns when it wants the next one, or has ended."""
        gate = asyncio.ensure_future(self._at_the_gate.wait())
        await asyncio.wait({gate, work}, return_when=asyncio.FIRST_COMPLETED)
        self._at_the_gate.clear()
        self._allowed.release()
        gate = asyncio.ensure_future(self._at_the_gate.wait())
        await asyncio.wait({gate, work}, return_when=asyncio.FIRST_COMPLETED)
        gate.cancel()
