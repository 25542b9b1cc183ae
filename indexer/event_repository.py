"""Events in the database."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID, uuid4

import asyncpg

from common.auth.caller import caller
from common.db.events import EventReader, event_not_found
from common.db.pool import Database
from common.db.sql import load_queries
from common.errors import (
    DatabaseUnavailable,
    EtagMismatch,
    EventAlreadyExists,
    EventNotFound,
    IdempotencyMismatch,
)
from common.event import Event, EventFields
from common.names import EventName
from indexer.erasure.erasures import Kind, Removed
from indexer.erasure.event_removal_repository import remove_event
from indexer.graphs.drop_repository import RelationDrops

SQL = load_queries("indexer")


@dataclass(frozen=True, slots=True)
class RequestMark:
    """What makes a creation repeatable: the caller's request id and a digest of the content."""

    request_id: UUID
    digest: bytes


class EventRepository:
    """Creates, reads, changes and deletes events."""

    def __init__(
        self, database: Database, reader: EventReader, template_key: str | None = None
    ) -> None:
        """template_key: id of the key for new events' templates; None leaves them as they are."""
        self._database = database
        self._reader = reader
        self._template_key = template_key
        self._drops = RelationDrops(database)

    async def create(self, name: EventName, fields: EventFields, mark: RequestMark | None) -> Event:
        """Raises EventAlreadyExists, or IdempotencyMismatch for a known request with other content.

        An expired event of this name makes room.
        """
        async with self._database.transaction(name) as connection:
            row = await self._insert(connection, name, fields, mark)
            if row is None:
                before = await connection.fetchrow(SQL["event_request"], name.key)
                if before is not None and before["expired"]:
                    expired = await self._reader.from_row(connection, before)
                    await remove_event(connection, expired, Kind.EXPIRY)
                    row = await self._insert(connection, name, fields, mark)
                elif before is not None and _is_repeat(before, mark):
                    return await self._reader.get(connection, name)
            if row is None:
                raise EventAlreadyExists(f"{name} exists already", metadata={"event": str(name)})
            return await self._reader.from_row(connection, row)

    async def get(self, name: EventName) -> Event:
        """Raises EventNotFound."""
        async with self._database.transaction(name) as connection:
            return await self._reader.get(connection, name)

    async def get_by_uid(self, uid: UUID) -> Event:
        """Raises EventNotFound, also for an event that is none of the caller's."""
        async with self._database.transaction() as connection:
            name = await connection.fetchval(SQL["event_by_uid"], uid)
        if name is None or not caller.get().may_see(name):
            raise EventNotFound(f"there is no event with uid {uid}", metadata={"uid": str(uid)})
        return await self.get(EventName(name))

    async def list(self, after: str, limit: int) -> list[Event]:
        """The caller's events by name, from the one after `after`."""
        async with self._database.transaction() as connection:
            events = caller.get().events
            rows = await connection.fetch(SQL["list_events"], after, limit, events)
            return [await self._reader.from_row(connection, row) for row in rows]

    async def update(
        self, name: EventName, etag: str, change: Callable[[EventFields], EventFields]
    ) -> Event:
        """Apply `change` to the event's fields. Raises EventNotFound, EtagMismatch."""
        async with self._database.transaction(name) as connection:
            event = await self._locked(connection, name, etag)
            row = await connection.fetchrow(
                SQL["update_event"], name.key, *_values(change(event.fields))
            )
            return await self._reader.from_row(connection, row)

    async def delete(self, name: EventName, etag: str, *, validate_only: bool) -> Removed:
        """Delete an event with all that it holds. Raises EventNotFound, EtagMismatch."""
        erasure_id = None
        async with self._database.transaction(name) as connection:
            event = await self._locked(connection, name, etag)
            if not validate_only:
                erasure_id = await remove_event(connection, event, Kind.EVENT)
        if not validate_only:
            await self._drop(name)
        counts = event.counts
        photos = counts.photos_indexed + counts.photos_rejected
        return Removed(photos, counts.faces, erasure_id)

    async def _drop(self, name: EventName) -> None:
        """Drop what the event had of its own now, not in the background; it is deleted anyway."""
        with suppress(DatabaseUnavailable):
            await self._drops.drop(name.key)

    async def _locked(self, connection: asyncpg.Connection, name: EventName, etag: str) -> Event:
        row = await connection.fetchrow(SQL["lock_event"], name.key)
        if row is None or row["name"] != name.event:
            raise event_not_found(name)
        event = await self._reader.from_row(connection, row)
        if etag and etag != event.etag:
            raise EtagMismatch(f"{name} was changed since this etag was read; read it again")
        return event

    async def _insert(
        self,
        connection: asyncpg.Connection,
        name: EventName,
        fields: EventFields,
        mark: RequestMark | None,
    ) -> asyncpg.Record | None:
        return await connection.fetchrow(
            SQL["insert_event"],
            name.key,
            name.event,
            uuid4(),
            *_values(fields),
            mark.request_id if mark else None,
            mark.digest if mark else None,
            self._template_key,
        )


def _values(fields: EventFields) -> tuple[object, ...]:
    settings = fields.settings
    return (
        fields.display_name,
        fields.location,
        fields.start_time,
        fields.expire_time,
        settings.quality_filter.value,
        settings.detail.value,
        settings.min_similarity,
    )


def _is_repeat(before: asyncpg.Record, mark: RequestMark | None) -> bool:
    if mark is None or before["request_id"] != mark.request_id:
        return False
    if before["request_digest"] != mark.digest:
        raise IdempotencyMismatch("this request_id was used with other content")
    return True
