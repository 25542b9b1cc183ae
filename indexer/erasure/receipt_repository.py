"""Receipts in the database."""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID, uuid4

import asyncpg

from common.auth.caller import caller
from common.db.pool import Connection, Database
from common.db.sql import load_queries
from common.errors import DatabaseUnavailable, ErasureNotFound
from common.event import Event
from common.names import EventName, FaceName
from indexer.erasure.erasures import Erasure, Kind, digest_of
from indexer.erasure.journal import Entry, ErasureJournal

SQL = load_queries("indexer.erasure")
log = logging.getLogger(__name__)
_AT_A_TIME = 500
_STUCK = {"action": "journal_stuck"}


async def record_faces(
    connection: Connection,
    event: Event,
    kind: Kind,
    faces: Iterable[FaceName],
    *,
    photo_numbers: Sequence[int] = (),
    suppress_until: datetime | None = None,
) -> UUID:
    """Write the receipt of faces of the locked event, in the transaction that removes them.

    photo_numbers: of photos that go with them.
    """
    ordered = sorted(faces, key=lambda face: face.face_no)
    entry = Entry(
        uuid4(), kind, event.name.event, event.uid, caller.get().subject, len(photo_numbers),
        len(ordered), digest_of(ordered), suppress_until, None, tuple(photo_numbers),
        tuple(face.face_no for face in ordered),
    )  # fmt: skip
    await record(connection, entry)
    return entry.erasure_id


async def record_event(connection: Connection, event: Event, kind: Kind) -> UUID:
    """Write the receipt of a whole event, in the transaction that removes it."""
    counts = event.counts
    photos = counts.photos_indexed + counts.photos_rejected
    entry = Entry(
        uuid4(), kind, event.name.event, event.uid,
        "" if kind is Kind.EXPIRY else caller.get().subject, photos, counts.faces,
        digest_of([event.name, event.uid]), None, None, (), (),
    )  # fmt: skip
    await record(connection, entry)
    return entry.erasure_id


async def record(connection: Connection, entry: Entry) -> None:
    """Write a receipt, in the transaction that removes what it tells of."""
    await connection.execute(SQL["commit_together"])
    await connection.execute(
        SQL["insert_erasure"],
        entry.erasure_id,
        entry.kind.value,
        EventName(entry.event).key,
        entry.event,
        entry.uid,
        entry.subject,
        entry.photos,
        entry.faces,
        entry.digest,
        entry.suppress_until,
        entry.photo_numbers,
        entry.face_numbers,
        entry.create_time,
    )


class ReceiptRepository:
    """Reads receipts, and settles them: says when no Searcher holds anything any more.

    stale_s: without a heartbeat for so long, a Searcher has emptied its memory.
    """

    def __init__(self, database: Database, stale_s: float) -> None:
        self._database = database
        self._stale_s = stale_s

    async def get(self, erasure_id: UUID) -> Erasure:
        """Raises ErasureNotFound."""
        found = await self.find(erasure_id)
        if found is None:
            name = f"erasures/{erasure_id}"
            raise ErasureNotFound(f"there is no erasure {name}", metadata={"erasure": name})
        return found

    async def find(self, erasure_id: UUID) -> Erasure | None:
        """None for one of an event that is none of the caller's, too."""
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(SQL["erasure"], erasure_id)
            if row is None or not caller.get().may_see(row["event"]):
                return None
            return _erasure(row)

    async def list(
        self, event: EventName | None, after: tuple[datetime, UUID] | None, limit: int
    ) -> list[Erasure]:
        """Receipts of the caller's events, newest first, from the one after `after`."""
        key = event.key if event is not None else None
        async with self._database.transaction() as connection:
            rows = await connection.fetch(
                SQL["list_erasures"], key, *(after or (None, None)), limit, caller.get().events
            )
            return [_erasure(row) for row in rows]

    async def settle(self, erasure_id: UUID) -> bool:
        """Whether no Searcher holds anything of it any more; the receipt says so then."""
        async with self._database.transaction() as connection:
            await self._settle(connection, erasure_id)
            return bool(await connection.fetchval(SQL["is_live"], erasure_id))

    async def journal(self, journal: ErasureJournal, erasure_id: UUID | None = None) -> None:
        """Write one erasure, or all, to the journal unless they are there. Raises
        DatabaseUnavailable where it cannot be written."""
        while True:
            async with self._database.transaction() as connection:
                rows = await connection.fetch(SQL["not_journaled"], erasure_id, _AT_A_TIME)
                if not rows:
                    return
                try:
                    await asyncio.to_thread(journal.append, [_entry(row) for row in rows])
                except OSError as error:
                    log.error("cannot write the journal of erasures: %s", error, extra=_STUCK)
                    raise DatabaseUnavailable(
                        "this was erased, and is not noted beside the backups yet"
                    ) from error
                done = [row["erasure_id"] for row in rows]
                await connection.execute(SQL["mark_journaled"], done)

    async def settle_all(self) -> None:
        """Settle what whoever asked for it did not wait for, and forget Searchers that are gone."""
        async with self._database.transaction() as connection:
            await self._settle(connection, None)
            await connection.execute(SQL["forget_searchers"], 10 * self._stale_s)

    async def _settle(self, connection: Connection, erasure_id: UUID | None) -> None:
        rows = await connection.fetch(SQL["settle"], erasure_id, self._stale_s)
        if rows:
            done = [row["erasure_id"] for row in rows]
            await connection.execute(SQL["forget_confirmations"], done)


def _erasure(row: asyncpg.Record) -> Erasure:
    return Erasure(
        row["erasure_id"],
        Kind(row["kind"]),
        EventName(row["event"]),
        row["uid"],
        row["subject"],
        row["photos"],
        row["faces"],
        row["digest"],
        row["suppress_until"],
        row["create_time"],
        row["live_time"],
        row["physical_time"],
        row["backup_time"],
    )


def _entry(row: asyncpg.Record) -> Entry:
    return Entry(
        row["erasure_id"],
        Kind(row["kind"]),
        row["event"],
        row["uid"],
        row["subject"],
        row["photos"],
        row["faces"],
        row["digest"],
        row["suppress_until"],
        row["create_time"],
        tuple(row["photo_numbers"]),
        tuple(row["face_numbers"]),
    )
