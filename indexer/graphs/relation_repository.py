"""Own relations of events in the database: made, filled, taken into use, cleaned up after.

Every step is a transaction of its own that makes sure, under the event's lock where it matters,
that the event is still that very one and the claim still held.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import asyncpg

from common.db.events import EventReader
from common.db.faces import EventFaces, remove_faces
from common.db.pool import Database
from common.db.sql import load_queries
from common.errors import DatabaseUnavailable, EventNotFound, OutOfSpace
from common.event import Event
from indexer.graphs.operations import Claim, Progress, Superseded

SQL = load_queries("indexer.graphs")
EVENT_SQL = load_queries("indexer")
HNSW_M = 24
"""Links of a face in a graph. With 16, of 200,000 faces of an event searches miss one in a hundred,
however wide, unless the graph is built with twice the care, which takes longer than these links."""
_DAY_S = 86_400.0
_GONE = (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError)


@dataclass(frozen=True, slots=True)
class Copy:
    """A new relation and what it was filled from: the event with its version and its next face
    number, which is the relation's mark."""

    relation: int
    event: Event
    faces: int


@dataclass(frozen=True, slots=True)
class Measured:
    """How a relation's graph is searched, and what that finds of what there is."""

    ef_search: int
    recall: float | None


class RelationRepository:
    """The steps. All raise Superseded where the event or the claim is not what it was."""

    def __init__(self, database: Database, reader: EventReader) -> None:
        self._database = database
        self._reader = reader

    async def event(self, claim: Claim) -> Event:
        """The event of a claim. Raises EventNotFound when that very one is gone."""
        async with self._database.transaction(claim.event) as connection:
            event = await self._reader.get(connection, claim.event)
        if event.uid != claim.uid:
            raise EventNotFound(f"{claim.event} was deleted", metadata={"event": str(claim.event)})
        return event

    async def create(self, claim: Claim, dimension: int) -> int:
        """A new empty relation, that nobody uses."""
        async with self._step(claim) as (connection, event):
            number: int = await connection.fetchval(
                SQL["insert_relation"], event.name.key, event.uid
            )
            await connection.execute(SQL["create_relation"], number, dimension)
            return number

    async def copy(self, claim: Claim, relation: int) -> Copy:
        """Fill a new relation with the event's faces as they are at one moment. Raises
        OutOfSpace."""
        with superseding(), _needing_room():
            async with self._database.copying(claim.event) as connection:
                event = await self._reader.get(connection, claim.event)
                _check(event, claim)
                await connection.execute(SQL["lift_timeout"])
                faces = 0
                for part in EventFaces(connection, event).parts:
                    query = SQL["copy_faces"].replace("{into}", table(relation))
                    faces += _count(
                        await connection.execute(
                            query.replace("{faces}", part.table),
                            event.name.key,
                            _pack_id(event),
                            part.start,
                            part.end,
                            timeout=_DAY_S,
                        )
                    )
                return Copy(relation, event, faces)

    async def index(self, copy: Copy, ef_construction: int, progress: Progress) -> None:
        """Build the graph. Raises OutOfSpace."""
        with superseding(), _needing_room():
            async with self._database.transaction() as connection:
                await connection.execute(SQL["lift_timeout"])
                progress.graph_pid = connection.get_server_pid()
                try:
                    await connection.execute(
                        SQL["index_relation"],
                        copy.relation,
                        HNSW_M,
                        ef_construction,
                        timeout=_DAY_S,
                    )
                finally:
                    progress.graph_pid = None

    async def size(self, copy: Copy) -> int:
        """Bytes of the relation and its indexes."""
        with superseding():
            async with self._database.transaction() as connection:
                size: int = await connection.fetchval(SQL["relation_size"], copy.relation)
                return size

    async def switch(self, claim: Claim, copy: Copy, size: int, measured: Measured) -> None:
        """Take a new relation into use; what it replaces is to be dropped.

        Deletions since the copy are followed first without the event's lock, then those few that
        came meanwhile under it.
        """
        version = await self._follow(claim, copy)
        async with self._step(claim, changing=True) as (connection, event):
            _check_unchanged(event, copy.event)
            await _forget(connection, copy, version, event)
            moved = await connection.fetchval(
                SQL["move_relation"], copy.relation, ["BUILDING"], "CLEANING"
            )
            if moved is None:
                raise Superseded
            await connection.execute(SQL["commit_together"])
            await connection.execute(
                SQL["adopt_relation"],
                event.name.key,
                copy.relation,
                copy.event.next_face_no,
                copy.faces,
                size,
                measured.ef_search,
                measured.recall,
            )
            if event.relation is not None:
                await connection.execute(SQL["give_up_relation"], event.relation.number)

    async def _follow(self, claim: Claim, copy: Copy) -> int:
        with superseding():
            async with self._database.transaction(claim.event) as connection:
                event = await self._reader.get(connection, claim.event)
                _check_unchanged(event, copy.event)
                await _forget(connection, copy, copy.event.version, event)
                return event.version

    async def begin_cleaning(self, claim: Claim, event: Event) -> None:
        """Say that copies of the relation's rows may stand in the shared table from now on."""
        assert event.relation is not None
        async with self._step(claim) as (connection, current):
            _check_unchanged(current, event)
            await connection.execute(
                SQL["move_relation"], event.relation.number, ["SERVING", "CLEANING"], "CLEANING"
            )

    async def clean(self, claim: Claim, event: Event, start: int, count: int) -> int | None:
        """Delete the first copies numbered from `start` on, of `count` numbers; returns where to go
        on, None at the end."""
        assert event.relation is not None
        mark = event.relation.mark
        async with self._step(claim) as (connection, current):
            _check_unchanged(current, event)
            arguments = (event.name.key, _pack_id(event))
            first = await connection.fetchval(SQL["next_copy"], *arguments, start, mark)
            if first is None:
                await connection.execute(
                    SQL["move_relation"], event.relation.number, ["CLEANING"], "SERVING"
                )
                return None
            end = min(first + count, mark)
            await remove_faces(connection, event.name.key, first, end)
            return int(end)

    async def restore(self, claim: Claim, event: Event, start: int, count: int) -> None:
        """Copy `count` numbers of the relation's faces back into the shared table."""
        assert event.relation is not None
        async with self._step(claim) as (connection, current):
            _check_unchanged(current, event)
            query = SQL["copy_faces"].replace("{into}", "face")
            await connection.execute(
                query.replace("{faces}", table(event.relation.number)),
                event.name.key,
                _pack_id(event),
                start,
                min(start + count, event.relation.mark),
            )

    async def leave(self, claim: Claim, event: Event) -> None:
        """Use the shared table alone again, which must hold all of the relation's faces."""
        assert event.relation is not None
        async with self._step(claim, changing=True) as (connection, current):
            _check_unchanged(current, event)
            await connection.execute(SQL["commit_together"])
            await connection.execute(SQL["leave_relation"], event.name.key)
            await connection.execute(SQL["give_up_relation"], event.relation.number)

    async def give_up_others(self, claim: Claim) -> bool:
        """Give up relations of the event that it does not use; returns whether the one that it uses
        is still to be cleaned up after."""
        async with self._step(claim) as (connection, event):
            number = event.relation.number if event.relation is not None else 0
            await connection.execute(SQL["give_up_others"], event.name.key, number)
            state = await connection.fetchval(SQL["relation_state"], number)
            return bool(state == "CLEANING")

    @asynccontextmanager
    async def _step(
        self, claim: Claim, *, changing: bool = False
    ) -> AsyncIterator[tuple[asyncpg.Connection, Event]]:
        """A transaction that holds the event's row and the claim. `changing`: alone."""
        with superseding():
            async with self._database.transaction(claim.event) as connection:
                query = EVENT_SQL["lock_event"] if changing else SQL["hold_event"]
                row = await connection.fetchrow(query, claim.event.key)
                if row is None or row["uid"] != claim.uid:
                    raise Superseded
                held = await connection.fetchval(
                    SQL["hold_claim"], claim.operation_id, claim.server_id
                )
                if held is None:
                    raise Superseded
                yield connection, await self._reader.from_row(connection, row)


def table(relation: int) -> str:
    return f"ev_{relation}.face"


@contextmanager
def superseding() -> Iterator[None]:
    """Raise Superseded where a relation or an event is gone: somebody else took it away."""
    try:
        yield
    except (*_GONE, EventNotFound) as error:
        raise Superseded from error


@contextmanager
def _needing_room() -> Iterator[None]:
    """Tell a database that is full from one that is away: trying again at once would not help."""
    try:
        yield
    except (DatabaseUnavailable, OutOfSpace) as error:
        if isinstance(error.__cause__, (asyncpg.DiskFullError, asyncpg.OutOfMemoryError)):
            raise OutOfSpace("the database has no room for the graph of the event") from error
        raise


async def _forget(connection: asyncpg.Connection, copy: Copy, version: int, event: Event) -> None:
    """Delete from a new relation what was deleted after `version`."""
    if event.tombstone_floor > copy.event.version:
        raise Superseded
    query = SQL["forget_in_relation"].replace("{faces}", table(copy.relation))
    await connection.execute(query, event.name.key, _pack_id(event), version, event.version)


def _check(event: Event, claim: Claim) -> None:
    if event.uid != claim.uid:
        raise Superseded


def _check_unchanged(now: Event, before: Event) -> None:
    """The same event on the same relation."""
    numbers = [e.relation.number if e.relation is not None else None for e in (now, before)]
    if now.uid != before.uid or numbers[0] != numbers[1]:
        raise Superseded


def _pack_id(event: Event) -> int:
    assert event.pack is not None
    return event.pack.pack_id


def _count(status: str) -> int:
    """Rows of an INSERT's command tag."""
    return int(status.rpartition(" ")[2])
