"""Making erasures again in a database that was restored to a time before them."""

from common.db.events import EventReader
from common.db.faces import EventFaces
from common.db.pool import Connection, Database
from common.db.sql import load_queries
from common.event import Event
from common.names import EventName
from common.photo import PhotoState
from indexer.erasure.erasures import Kind
from indexer.erasure.event_removal_repository import remove_rows
from indexer.erasure.journal import Entry
from indexer.erasure.receipt_repository import record
from indexer.repository import advance, forget

SQL = load_queries("indexer.erasure")


class Reapplying:
    """Makes the journal's entries again. Nobody may serve meanwhile."""

    def __init__(self, database: Database, reader: EventReader) -> None:
        self._database = database
        self._reader = reader

    async def apply(self, entry: Entry) -> bool:
        """Whether this erasure was missing; its receipt is there afterwards."""
        name = EventName(entry.event)
        async with self._database.transaction(name) as connection:
            # The receipt was written in the transaction that removed what it tells of.
            if await connection.fetchval(SQL["erasure"], entry.erasure_id) is not None:
                return False
            row = await connection.fetchrow(SQL["hold_event"], name.key, entry.uid)
            await record(connection, entry)
            await connection.execute(SQL["mark_journaled"], [entry.erasure_id])
            if row is not None:
                event = await self._reader.from_row(connection, row)
                if entry.kind in (Kind.EVENT, Kind.EXPIRY):
                    await remove_rows(connection, event)
                else:
                    await _remove(connection, event, entry)
        return True


async def _remove(connection: Connection, event: Event, entry: Entry) -> None:
    """Remove what is there of it. Its numbers are never given again, so that the journal means the
    same in whatever is restored later."""
    key, photo_numbers = event.name.key, entry.photo_numbers
    faces = EventFaces(connection, event)
    of_photos = await faces.of_photos(photo_numbers)
    gone = {face.face_no for each in of_photos.values() for face in each}
    gone |= (await faces.by_no(entry.face_numbers)).keys()
    states = await connection.fetch(SQL["photo_states"], key, photo_numbers)
    await forget(connection, event, sorted(gone))
    await connection.execute(SQL["delete_photos"], key, photo_numbers)
    indexed = sum(row["state"] == PhotoState.INDEXED.value for row in states)
    await advance(
        connection, key, indexed=-indexed, rejected=indexed - len(states), faces=-len(gone)
    )
    past_photos = max(photo_numbers, default=0) + 1
    past_faces = max(entry.face_numbers, default=0) + 1
    await connection.execute(SQL["skip_numbers"], key, past_photos, past_faces)
