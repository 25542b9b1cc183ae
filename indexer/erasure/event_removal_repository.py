"""Removing events with all that they hold, at once or little by little."""

from uuid import UUID

from common.db.events import EventReader
from common.db.faces import remove_faces
from common.db.pool import Connection, Database
from common.db.sql import load_queries
from common.event import Event
from common.names import MAX_FACE_NO, EventName
from indexer.erasure.erasures import Kind
from indexer.erasure.receipt_repository import record_event

SQL = load_queries("indexer.erasure")
EVENT_SQL = load_queries("indexer")
_AT_A_TIME = 2000
_ROWS = (
    "delete_event_photos",
    "delete_event_tombstones",
    "delete_event_ingest",
    "give_up_relations",
    "end_event_operations",
    "delete_event",
)


async def remove_event(connection: Connection, event: Event, kind: Kind) -> UUID:
    """Remove the locked event with all that it holds; returns its receipt's id."""
    erasure_id = await record_event(connection, event, kind)
    await remove_rows(connection, event)
    return erasure_id


async def remove_rows(connection: Connection, event: Event) -> None:
    """Remove the rows of the locked event, its own the last. Its receipt must be written before,
    which names its own tables."""
    key = event.name.key
    await remove_faces(connection, key, 0, MAX_FACE_NO)
    await connection.execute(SQL["delete_suppressions"], key, False)
    for query in _ROWS:
        await connection.execute(EVENT_SQL[query], key)


class ExpiredEvents:
    """Removes what has expired. Nobody sees such an event; its own row goes last, so that whoever
    comes after a crash goes on where it ended, and its lock keeps others away."""

    def __init__(self, database: Database, reader: EventReader) -> None:
        self._database = database
        self._reader = reader

    async def remove_some(self) -> tuple[EventName, bool] | None:
        """Remove rows of an expired event, at most some thousand of them; returns which, and
        whether nothing is left of it. None where there is none."""
        async with self._database.transaction() as connection:
            names = [row["name"] for row in await connection.fetch(SQL["expired_events"])]
        for name in map(EventName, names):
            finished = await self._remove_some_of(name)
            if finished is not None:
                return name, finished
        return None

    async def _remove_some_of(self, name: EventName) -> bool | None:
        """Whether nothing is left of it; None where another server is at it."""
        key = name.key
        async with self._database.transaction(name) as connection:
            row = await connection.fetchrow(SQL["hold_expired_event"], key)
            if row is None:
                return None
            first = await connection.fetchval(SQL["first_face"], key)
            if first is not None:
                await remove_faces(connection, key, first, first + _AT_A_TIME)
                return False
            deleted = await connection.execute(SQL["delete_some_photos"], key, _AT_A_TIME)
            if deleted == f"DELETE {_AT_A_TIME}":
                return False
            event = await self._reader.from_row(connection, row)
            await remove_event(connection, event, Kind.EXPIRY)
            return True

    async def remove_suppressions(self) -> None:
        """Remove templates of suppressions that have ended."""
        async with self._database.transaction() as connection:
            ended = await connection.fetch(SQL["ended_suppressions"])
            keys = [row["event_id"] for row in ended]
            rows = await connection.fetch(SQL["event_names"], keys) if keys else []
        for name in (EventName(row["name"]) for row in rows):
            async with self._database.transaction(name) as connection:
                await connection.execute(SQL["delete_suppressions"], name.key, True)

    async def remove_strays(self, age_s: float) -> None:
        """Remove what servers reported that have been gone for so long."""
        async with self._database.transaction() as connection:
            await connection.execute(SQL["delete_stray_ingest"], age_s)
