"""The faces of one person in one event, found by comparing every face, and removed."""

from datetime import datetime
from uuid import UUID, uuid4

import asyncpg

from common.db.events import EventReader, event_not_found
from common.db.faces import EventFaces
from common.db.pool import Connection, Database
from common.db.sql import load_queries
from common.event import Event
from common.names import EventName, FaceName
from common.vision.types import EmbeddingVector
from indexer.erasure.erasures import Kind, Person
from indexer.erasure.receipt_repository import record_faces
from indexer.repository import advance, face_not_found, forget
from indexer.write_repository import check_pack

SQL = load_queries("indexer.erasure")
EVENT_SQL = load_queries("indexer")
Sample = EmbeddingVector | FaceName
"""A template (D,) as this server's engine makes it, or an indexed face."""


class PersonRepository:
    """Finds and erases people. Raises EventNotFound, FaceNotFound, PackMismatch, and
    TemplateKeyMissing, though not for an indexed face, which is in the event's space."""

    def __init__(self, database: Database, reader: EventReader, pack_key: str) -> None:
        self._database = database
        self._reader = reader
        self._pack_key = pack_key

    async def find(self, name: EventName, sample: Sample, min_similarity: float) -> Person:
        """Who would go. min_similarity: 0 for the event's threshold of CONFIDENT."""

        async def work(connection: Connection) -> Person:
            event = await self._reader.get(connection, name)
            return (await self._found(connection, event, sample, min_similarity))[0]

        return await self._database.read(work, name)

    async def erase(
        self,
        name: EventName,
        sample: Sample,
        min_similarity: float,
        suppress_until: datetime | None,
    ) -> tuple[Person, UUID]:
        """Remove who `find` finds, and keep the sample where later photos are to be compared with
        it; returns the receipt's id too."""
        async with self._database.transaction(name) as connection:
            row = await connection.fetchrow(EVENT_SQL["lock_event"], name.key)
            if row is None or row["name"] != name.event:
                raise event_not_found(name)
            event = await self._reader.from_row(connection, row)
            person, template = await self._found(connection, event, sample, min_similarity)
            numbers = [candidate.face_no for _, candidate in person.faces]
            await forget(connection, event, numbers)
            if numbers:
                await advance(connection, name.key, faces=-len(numbers))
            faces = [face for face, _ in person.faces]
            erasure_id = await record_faces(
                connection, event, Kind.PERSON, faces, suppress_until=suppress_until
            )
            if suppress_until is not None:
                await connection.execute(
                    SQL["insert_suppression"],
                    name.key,
                    uuid4(),
                    event.uid,
                    person.min_similarity,
                    suppress_until,
                    template,
                )
            return person, erasure_id

    async def _found(
        self, connection: Connection, event: Event, sample: Sample, min_similarity: float
    ) -> tuple[Person, EmbeddingVector]:
        if isinstance(sample, FaceName):
            template = await _template(connection, event, sample)
        else:
            check_pack(event, self._pack_key)
            template = event.space.into(sample)
        lowest = min_similarity or _confident(event)
        found = await EventFaces(connection, event).exact(template, lowest)
        found.sort(key=lambda candidate: candidate.position)
        rows = await connection.fetch(
            SQL["photo_ids"], event.name.key, list({each.photo_no for each in found})
        )
        photos = {row["photo_no"]: event.name.photo(row["photo_id"]) for row in rows}
        faces = tuple((photos[each.photo_no].face(each.face_no), each) for each in found)
        return Person(event, faces, lowest), template


def _confident(event: Event) -> float:
    """From which similarity on searches of the event say CONFIDENT."""
    pack = event.pack.confident_similarity if event.pack is not None else 1.0
    return max(pack, event.fields.settings.min_similarity or 0.0)


async def _template(
    connection: asyncpg.Connection, event: Event, name: FaceName
) -> EmbeddingVector:
    rows = await connection.fetch(EVENT_SQL["photos_by_id"], event.name.key, [name.photo.photo])
    found = await EventFaces(connection, event).template(name.face_no)
    if not rows or found is None or found[0] != rows[0]["photo_no"]:
        raise face_not_found(name)
    return found[1]
