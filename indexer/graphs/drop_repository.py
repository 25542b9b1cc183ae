"""Dropping own relations that nobody uses any more."""

from uuid import UUID

import asyncpg

from common.db.pool import Database
from common.db.sql import load_queries

SQL = load_queries("indexer.graphs")
_AT_A_TIME = 100


class RelationDrops:
    """Drops what was given up. A relation that a long transaction has looked at is left for later,
    so that nobody waits behind the attempt."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def drop(self, event_key: int | None = None) -> None:
        """Try to drop what was given up, of one event or of all."""
        async with self._database.transaction() as connection:
            rows = await connection.fetch(SQL["relations_to_drop"], event_key, _AT_A_TIME)
        for row in rows:
            await self._drop(row["relation"])

    async def _drop(self, relation: int) -> None:
        try:
            async with self._database.transaction() as connection:
                if await connection.fetchval(SQL["hold_relation"], relation) is not None:
                    await connection.execute(SQL["drop_relation"], relation)
                    await connection.execute(SQL["delete_relation"], relation)
        except asyncpg.LockNotAvailableError:
            return

    async def give_up_orphans(self) -> None:
        """Give up relations whose very event is gone, or that nobody is building any more."""
        async with self._database.transaction() as connection:
            # The relations first: each was made while its event was there.
            relations = await connection.fetch(SQL["relations"])
            keys = list({row["event_id"] for row in relations})
            events = await connection.fetch(SQL["events_by_key"], keys)
            uids: dict[int, UUID] = {row["event_id"]: row["uid"] for row in events}
            for row in relations:
                abandoned = row["state"] == "BUILDING" and not row["open"]
                if abandoned or uids.get(row["event_id"]) != row["uid"]:
                    await connection.execute(SQL["give_up_relation"], row["relation"])

    async def counts(self) -> dict[str, int]:
        """How many relations there are, by state."""
        async with self._database.transaction() as connection:
            rows = await connection.fetch(SQL["relation_counts"])
            return {row["state"]: row["relations"] for row in rows}
