"""What is to be done about events in the background."""

from dataclasses import dataclass
from uuid import UUID

import asyncpg

from common.db.events import EventReader
from common.db.pool import Connection, Database
from common.db.sql import load_queries
from common.errors import EventNotFound
from common.event import Event
from common.names import EventName
from indexer.config import PromotionSettings

SQL = load_queries("indexer.graphs")
EVENT_SQL = load_queries("indexer")
LEAST_FOLD = 500
_TOMBSTONES_AT_A_TIME = 1000


@dataclass(frozen=True, slots=True)
class Stock:
    """How much there is: events, their faces in the shared table and in events' own tables, and
    operations that wait or are worked on."""

    events: int
    shared_faces: int
    own_faces: int
    queued: int
    running: int


class CuratorRepository:
    """Looks across all events, and forgets old tombstones."""

    def __init__(self, database: Database, reader: EventReader) -> None:
        self._database = database
        self._reader = reader

    async def due(self, settings: PromotionSettings) -> list[tuple[EventName, UUID]]:
        """Quiet events whose index is not what their size calls for, or behind, or was not cleaned
        up after."""
        async with self._database.transaction() as connection:
            events = await connection.fetch(
                SQL["due_events"],
                settings.hnsw_min_faces,
                settings.quiet_s,
                settings.fold_share,
                LEAST_FOLD,
            )
            events += await _to_renew(connection, settings.quiet_s)
            relations = await connection.fetch(SQL["relations"])
            left = [r["event_id"] for r in relations if r["state"] == "CLEANING" and not r["open"]]
            if left:
                events += await connection.fetch(SQL["events_by_key"], left)
            return list(
                {row["event_id"]: (EventName(row["name"]), row["uid"]) for row in events}.values()
            )

    async def stock(self) -> Stock:
        """Count what there is. Looks at every event's row."""
        async with self._database.transaction() as connection:
            stored = await connection.fetchrow(SQL["stored_counts"])
            work = await connection.fetchrow(SQL["open_operation_counts"])
            shared = max(stored["faces"] - stored["own"], 0)
            return Stock(stored["events"], shared, stored["own"], work["queued"], work["running"])

    async def promoted_after(self, key: int) -> Event | None:
        """The event with a graph whose key comes next."""
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(SQL["promoted_after"], key)
            if row is None:
                return None
            try:
                event = await self._reader.get(connection, EventName(row["name"]))
            except EventNotFound:
                return None
            return event if event.relation is not None else None

    async def forget_tombstones(self, age_s: float) -> None:
        """Delete tombstones older than that; a Searcher further behind reads its gallery anew."""
        async with self._database.transaction() as connection:
            old = await connection.fetch(SQL["events_with_old_tombstones"], age_s)
            keys = [row["event_id"] for row in old]
            rows = await connection.fetch(SQL["events_by_key"], keys) if keys else []
        for row in rows:
            while await self._forget_some(EventName(row["name"]), age_s):
                pass

    async def _forget_some(self, event: EventName, age_s: float) -> bool:
        """A few at a time: the event's writers wait meanwhile."""
        key = event.key
        async with self._database.transaction(event) as connection:
            await connection.fetchrow(EVENT_SQL["lock_event"], key)
            floor = await connection.fetchval(
                SQL["tombstone_floor"], key, age_s, _TOMBSTONES_AT_A_TIME
            )
            if floor is None:
                return False
            await connection.execute(SQL["raise_tombstone_floor"], key, floor)
            await connection.execute(SQL["delete_tombstones"], key, floor)
            return True


async def _to_renew(connection: Connection, quiet_s: float) -> list[asyncpg.Record]:
    """Events whose graph's files hold something that was removed."""
    found = await connection.fetch(SQL["relations_with_residue"], quiet_s)
    if not found:
        return []
    keys, relations = ([row[name] for row in found] for name in ("event_id", "relation"))
    at_once = [row["relation"] for row in found if row["at_once"]]
    events: list[asyncpg.Record] = await connection.fetch(
        SQL["events_to_renew"], keys, relations, at_once, quiet_s
    )
    return events
