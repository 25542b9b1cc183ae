"""What a Searcher says of the templates that it holds in memory."""

from collections.abc import Sequence
from uuid import UUID

from common.db.pool import Database
from common.db.replica import Signs
from common.db.sql import load_queries
from common.errors import DatabaseUnavailable

SQL = load_queries("searcher")
_WRITERS_S = 0.5
"""Longest wait for a commit; the erasure is looked at again in the next round."""


class ForgettingRepository:
    """Speaks for the Searcher `searcher_id`, and keeps its `signs` of life."""

    def __init__(self, database: Database, searcher_id: UUID, signs: Signs) -> None:
        self._database = database
        self._searcher_id = searcher_id
        self._signs = signs

    async def report(self) -> None:
        """Say that this Searcher is there."""
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(SQL["report_searcher"], self._searcher_id)
        self._signs.add(row["server"], row["sign"])

    async def to_confirm(self) -> list[tuple[UUID, int]]:
        """Erasures that this Searcher has not confirmed, each with its event's key."""
        async with self._database.statements() as connection:
            rows = await connection.fetch(SQL["erasures_to_confirm"], self._searcher_id)
        found = [(row["erasure_id"], row["event_id"]) for row in rows]
        if not found or not self._database.distributed:
            return found
        # The receipt, on the main node, shows before the removal does, on the event's.
        done = {key for key in {key for _, key in found} if await self._is_committed(key)}
        return [(erasure_id, key) for erasure_id, key in found if key in done]

    async def _is_committed(self, key: int) -> bool:
        try:
            async with self._database.transaction() as connection:
                await connection.execute(SQL["wait_for_writers"], key, timeout=_WRITERS_S)
        except (TimeoutError, DatabaseUnavailable):
            return False  # those of other nodes need not wait for this one
        return True

    async def confirm(self, erasures: Sequence[UUID]) -> None:
        """Say that this Searcher holds nothing of them any more."""
        async with self._database.transaction() as connection:
            await connection.execute(SQL["confirm_erasures"], self._searcher_id, erasures)

    async def leave(self) -> None:
        """Say that this Searcher holds nothing at all any more."""
        async with self._database.transaction() as connection:
            await connection.execute(SQL["remove_searcher"], self._searcher_id)
