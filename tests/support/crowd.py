"""An event of many faces, written and read below the wire, and what of it was acknowledged."""

from dataclasses import dataclass, field
from hashlib import sha256

import asyncpg
import numpy as np

from common.db.events import EventReader, PackRegistry
from common.db.faces import EventFaces
from common.db.pool import Database
from common.errors import DatabaseUnavailable, FacePassError
from common.event import Event, EventFields
from common.names import EventName
from common.photo import PhotoInfo
from common.vision.fake.engine import FakeEngine
from common.vision.types import Analysis, Box, Detection, Face, Quality
from indexer.event_repository import EventRepository
from indexer.graphs.operation_repository import OperationRepository
from indexer.repository import PhotoRepository
from indexer.write_repository import PhotoWrite, WriteRepository

PACK = FakeEngine().pack
_LANDMARKS = np.arange(10, dtype=np.float32).reshape(5, 2)
_DETECTION = Detection(Box(100.0, 100.0, 80.0, 100.0), _LANDMARKS, 0.9)
_QUALITY = Quality(0.8, 0.7, 0.5, 0.0, 0.0, 0.0)


@dataclass
class Crowd:
    """Photos of strangers in one event. `kept`: faces of each photo that must be there; `unsure`:
    photos of which the database went away before it said what became of them."""

    database: Database
    name: EventName
    writes: WriteRepository
    photos: PhotoRepository
    operations: OperationRepository
    kept: dict[str, int] = field(default_factory=dict)
    unsure: set[str] = field(default_factory=set)
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(3))

    @classmethod
    async def gathered(cls, database: Database, event: str, photos: int, faces: int) -> "Crowd":
        """A new event of so many photos with so many faces each."""
        reader, name = EventReader(PackRegistry()), EventName(event)
        async with database.transaction() as connection:
            pack = await PackRegistry().register(connection, PACK)
        await EventRepository(database, reader).create(name, EventFields(), None)
        crowd = cls(
            database,
            name,
            WriteRepository(database, reader, pack),
            PhotoRepository(database, reader),
            OperationRepository(database),
        )
        for number in range(photos):
            await crowd.add(f"first-{number}", faces)
        return crowd

    async def event(self) -> Event:
        async with self.database.transaction(self.name) as connection:
            return await EventReader(PackRegistry()).get(connection, self.name)

    async def add(self, photo_id: str, faces: int) -> None:
        """Index a photo. Raises DatabaseUnavailable, with the photo among the unsure."""
        vectors = self.random.standard_normal((faces, PACK.dimension)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        found = Analysis(
            6000, 4000, tuple(Face(_DETECTION, _QUALITY, (), vector) for vector in vectors)
        )
        digest = sha256(photo_id.encode()).digest()
        write = PhotoWrite(PhotoInfo(photo_id), digest, 4_000_000, found, replace=False)
        try:
            (outcome,) = await self.writes.write(await self.event(), [write])
        except DatabaseUnavailable:
            self.unsure.add(photo_id)
            raise
        assert not isinstance(outcome, FacePassError), outcome
        self.kept[photo_id] = faces

    async def remove(self, photo_id: str) -> None:
        """Delete a photo. Raises DatabaseUnavailable, with the photo among the unsure."""
        del self.kept[photo_id]
        try:
            await self.photos.delete_photo(self.name.photo(photo_id), validate_only=False)
        except DatabaseUnavailable:
            self.unsure.add(photo_id)
            raise

    async def seen(self) -> dict[str, int]:
        """Faces of each photo as readers see them, none of them twice."""

        async def work(connection: asyncpg.Connection) -> dict[str, int]:
            event = await EventReader(PackRegistry()).get(connection, self.name)
            numbers: list[int] = []
            places: list[int] = []

            def take(rows: object) -> None:
                numbers.extend(rows.face_no.tolist())  # type: ignore[attr-defined]
                places.extend(rows.photo_no.tolist())  # type: ignore[attr-defined]

            await EventFaces(connection, event).templates(0, take)
            assert len(set(numbers)) == len(numbers)
            assert len(numbers) == event.counts.faces
            ids = dict(
                await connection.fetch(
                    "SELECT photo_no, photo_id FROM photo WHERE event_id = $1", self.name.key
                )
            )
            seen: dict[str, int] = {}
            for photo_no in places:
                seen[ids[photo_no]] = seen.get(ids[photo_no], 0) + 1
            return seen

        return await self.database.read(work, self.name)

    async def assert_whole(self) -> None:
        """Everything that was acknowledged is there, exactly once, and nothing else."""
        seen = await self.seen()
        known = {photo: faces for photo, faces in seen.items() if photo not in self.unsure}
        assert known == self.kept


async def leftovers(owner: asyncpg.Connection, name: EventName) -> list[str]:
    """What a graph that is in use, or its absence, should not leave lying about."""
    wrong = []
    row = await owner.fetchrow(
        "SELECT relation, relation_mark FROM event WHERE event_id = $1", name.key
    )
    wanted = set() if row is None or row["relation"] is None else {row["relation"]}
    schemas = await owner.fetch(r"SELECT nspname FROM pg_namespace WHERE nspname LIKE 'ev\_%'")
    if {int(schema["nspname"].removeprefix("ev_")) for schema in schemas} != wanted:
        wrong.append(f"schemas {[schema['nspname'] for schema in schemas]}, wanted {wanted}")
    relations = await owner.fetch("SELECT relation, state FROM relation")
    if {(each["relation"], each["state"]) for each in relations} != {
        (number, "SERVING") for number in wanted
    }:
        wrong.append(f"relations {[dict(each) for each in relations]}")
    if row is not None:
        copies = await owner.fetchval(
            "SELECT count(*) FROM face WHERE event_id = $1 AND face_no < $2",
            name.key,
            row["relation_mark"],
        )
        if copies:
            wrong.append(f"{copies} copies")
    return wrong
