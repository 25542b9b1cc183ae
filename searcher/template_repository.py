"""Templates of a whole event, and what changed since a version."""

from collections.abc import Sequence
from concurrent.futures import Executor
from uuid import UUID

import asyncpg

from common.db.events import EventReader
from common.db.faces import EventFaces
from common.db.pool import Database
from common.db.replica import Reads
from common.db.sql import load_queries
from common.event import Event
from common.template_rows import TemplateRows
from searcher.hot_gallery import Changes, HotGallery

SQL = load_queries("searcher")


class TemplateRepository:
    """Reads templates for galleries."""

    def __init__(self, database: Database, reads: Reads, reader: EventReader) -> None:
        """`reads`: for what may be much."""
        self._database = database
        self._reads = reads
        self._reader = reader

    async def read(self, event: Event, executor: Executor) -> HotGallery:
        """A gallery of the event as it is now. Raises EventNotFound, DatabaseUnavailable."""

        async def work(connection: asyncpg.Connection) -> HotGallery:
            now = await self._reader.get(connection, event.name)
            gallery = HotGallery(now, executor)
            try:
                faces = EventFaces(connection, now)
                await faces.templates(0, gallery.extend)
                if now.relation is not None:
                    # On another node, it may show a deletion later than the event's row does.
                    gallery.apply(Changes(now, [], await faces.deleted_since(0)))
            except BaseException:
                gallery.wipe_now()
                raise
            return gallery

        return await self._reads.read(work, event.name)

    async def changes(self, before: Event) -> Changes | None:
        """What happened to an event since it was as `before`; None where that is no longer known.
        Raises EventNotFound, DatabaseUnavailable."""

        async def work(connection: asyncpg.Connection) -> Changes | None:
            now = await self._reader.get(connection, before.name)
            if now.uid != before.uid or before.version < now.tombstone_floor:
                return None
            return await read_changes(connection, now, before)

        return await self._database.read(work, before.name)

    async def rinse(self) -> None:
        """Hold no template any more that was read before."""
        for each in {self._database, self._reads}:
            await each.rinse()

    async def alive(self, keys: Sequence[int]) -> dict[int, UUID]:
        """The uid of each of these events that still exists, by key."""

        async def work(connection: asyncpg.Connection) -> dict[int, UUID]:
            rows = await connection.fetch(SQL["alive_events"], keys)
            return {row["event_id"]: row["uid"] for row in rows}

        return await self._database.read(work)


async def read_changes(connection: asyncpg.Connection, event: Event, before: Event) -> Changes:
    """What happened to `event`, as the connection's snapshot sees it, since it was as `before`."""
    added: list[TemplateRows] = []
    faces = EventFaces(connection, event)
    if before.next_face_no < event.next_face_no:
        await faces.templates(before.next_face_no, added.append)
    return Changes(event, added, await faces.deleted_since(before.version))
