"""Operations in the database, and their queue."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID, uuid4

import asyncpg

from common.auth.caller import caller
from common.db.pool import Connection, Database
from common.db.sql import load_queries
from common.event import Event
from common.names import EventName
from indexer.graphs.operations import Claim, Failure, Operation, Phase, Progress, Strategy

SQL = load_queries("indexer.graphs")


class OperationRepository:
    """What callers do with operations."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open(self, event: Event) -> Operation:
        """The operation of the event that is under way, or a new one."""
        key, name, uid = event.name.key, event.name.event, event.uid
        async with self._database.transaction() as connection:
            await connection.execute(SQL["end_stale_operation"], key, uid)
            row = None
            while row is None:
                row = await connection.fetchrow(
                    SQL["insert_operation"], uuid4(), key, name, uid, event.counts.faces
                ) or await connection.fetchrow(SQL["open_operation"], key, uid)
            return _operation(row)

    async def nothing_to_do(self, event: Event, strategy: Strategy) -> Operation:
        """An operation that is done already."""
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(
                SQL["insert_done_operation"],
                uuid4(),
                event.name.key,
                event.name.event,
                event.uid,
                strategy.value,
            )
            return _operation(row)

    async def is_open(self, event: Event) -> bool:
        """Whether one of the event is under way."""
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(SQL["open_operation"], event.name.key, event.uid)
            return row is not None

    async def get(self, operation_id: UUID) -> Operation | None:
        """None for one of an event that is none of the caller's, too."""
        async with self._database.transaction() as connection:
            events = caller.get().events
            rows = await connection.fetch(SQL["operations"], operation_id, None, 1, events)
            return next(iter(await _operations(connection, rows)), None)

    async def list(self, after: UUID | None, limit: int) -> list[Operation]:
        """Operations of the caller's events by id, from the one after `after`."""
        async with self._database.transaction() as connection:
            events = caller.get().events
            rows = await connection.fetch(SQL["operations"], None, after, limit, events)
            return await _operations(connection, rows)

    async def delete(self, operation_id: UUID) -> None:
        """Forget an operation if it is done."""
        async with self._database.transaction() as connection:
            await connection.execute(SQL["delete_operation"], operation_id)

    async def cancel(self, operation_id: UUID) -> None:
        """End an operation, unless its result is in use already."""
        async with self._database.transaction() as connection:
            await connection.execute(SQL["cancel_operation"], operation_id)


class OperationQueue:
    """What the servers that work on operations do with them.

    server_id: this one. stale_s: without a heartbeat for so long, a server counts as gone.
    """

    def __init__(self, database: Database, server_id: UUID, stale_s: float) -> None:
        self._database = database
        self._server_id = server_id
        self._stale_s = stale_s

    async def put(self, due: Sequence[tuple[EventName, UUID]], retry_s: float) -> list[EventName]:
        """Queue operations of events (name, uid) that have none; returns the new ones' events.

        retry_s: how long one that failed is not tried again.
        """
        async with self._database.transaction() as connection:
            rows = await connection.fetch(
                SQL["queue_operations"],
                [uuid4() for _ in due],
                [name.key for name, _ in due],
                [name.event for name, _ in due],
                [uid for _, uid in due],
                retry_s,
            )
            return [EventName(row["event"]) for row in rows]

    async def claim(self) -> Claim | None:
        """Take the operation that has waited longest; None when there is none."""
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(SQL["claim_operation"], self._server_id, self._stale_s)
            if row is None:
                return None
            return Claim(
                row["operation_id"],
                self._server_id,
                EventName(row["event"]),
                row["uid"],
                row["create_time"],
            )

    async def report(self, claim: Claim, progress: Progress) -> bool:
        """Say that the work goes on, and how far it is; False when the claim is lost."""
        async with self._database.transaction() as connection:
            if progress.graph_pid is not None:
                done = await connection.fetchval(SQL["graph_progress"], progress.graph_pid)
                progress.done = max(progress.done, min(done or 0, progress.total))
            row = await connection.fetchrow(
                SQL["report_operation"],
                claim.operation_id,
                claim.server_id,
                progress.phase.value,
                progress.done,
                progress.total,
            )
            return row is not None

    async def finish(self, claim: Claim, result: Strategy | Failure) -> None:
        """End the operation, unless the claim is lost."""
        told = result if isinstance(result, Failure) else Failure("", "")
        async with self._database.transaction() as connection:
            await connection.execute(
                SQL["finish_operation"],
                claim.operation_id,
                claim.server_id,
                result.value if isinstance(result, Strategy) else "",
                told.reason,
                told.message,
            )

    async def release(self) -> None:
        """Give back what this server holds, for others to take."""
        async with self._database.transaction() as connection:
            await connection.execute(SQL["release_claims"], self._server_id)

    async def forget(self, age_s: float) -> None:
        """Forget operations that ended so long ago."""
        async with self._database.transaction() as connection:
            await connection.execute(SQL["forget_operations"], age_s)


async def _operations(connection: Connection, rows: Sequence[asyncpg.Record]) -> "list[Operation]":
    """What is open for an event that has expired has ended, as for one that was deleted."""
    keys = [row["event_id"] for row in rows if not row["done"]]
    expired = await connection.fetch(SQL["expired"], keys) if keys else []
    ends = {row["uid"]: row["expire_time"] for row in expired}
    return [
        _operation(row) if row["done"] or row["uid"] not in ends else _ended(row, ends[row["uid"]])
        for row in rows
    ]


def _ended(row: asyncpg.Record, end_time: datetime) -> Operation:
    failure = Failure("EVENT_NOT_FOUND", "the event was deleted")
    operation = _operation(row)
    return replace(operation, phase=Phase.DONE, done=True, failure=failure, end_time=end_time)


def _operation(row: asyncpg.Record) -> Operation:
    failure = None
    if row["error_reason"]:
        failure = Failure(row["error_reason"], row["error_message"])
    return Operation(
        row["operation_id"],
        EventName(row["event"]),
        row["uid"],
        Phase(row["phase"]),
        row["done"],
        row["faces_done"],
        row["faces_total"],
        failure,
        row["create_time"],
        row["end_time"],
    )
