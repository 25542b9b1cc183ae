"""Token buckets that several servers share."""

from collections.abc import Sequence

from common.db.pool import Database
from common.db.sql import load_queries
from common.quotas.buckets import Charge, Shortage

SQL = load_queries("common.quotas")


class SharedBuckets:
    """The buckets of all servers of one database: one statement a call. After a crash of Postgres
    all are full."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self, charges: Sequence[Charge]) -> Shortage | None:
        return await self._take(charges, owed=False)

    async def owe(self, charges: Sequence[Charge]) -> None:
        await self._take(charges, owed=True)

    async def _take(self, charges: Sequence[Charge], *, owed: bool) -> Shortage | None:
        ordered = sorted(charges, key=lambda charge: charge.bucket)
        async with self._database.statements() as connection:
            row = await connection.fetchrow(
                SQL["quota_take"],
                [charge.bucket for charge in ordered],
                [charge.most for charge in ordered],
                [charge.per_s for charge in ordered],
                [charge.amount for charge in ordered],
                owed,
            )
        return Shortage(row["bucket"], row["wait_s"]) if row is not None else None
