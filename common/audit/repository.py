"""The record as a table."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

import asyncpg

from common.audit.line import Line
from common.audit.selection import Selection
from common.db.hosts import connect
from common.db.pool import Database
from common.db.sql import load_queries
from common.errors import SetupError

SQL = load_queries("common.audit")


class TableSink:
    """Adds rows, which is all that the servers' role may do with them."""

    name = "table"
    gathers_s = 0.1

    def __init__(self, database: Database) -> None:
        self._database = database

    async def write(self, lines: Sequence[Line]) -> int:
        batch = f"[{','.join(line.json() for line in lines)}]"
        async with self._database.transaction() as connection:
            await connection.execute(SQL["audit_add"], batch)
        return len(lines)


class AuditTable:
    """The table as its owner sees it."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def lines(self, wanted: Selection, most: int | None = None) -> AsyncIterator[str]:
        """The lines as JSON, oldest first; with `most`, the newest so many of them."""
        arguments = (
            wanted.event, wanted.subject, wanted.method, wanted.since, wanted.until, most,
        )  # fmt: skip
        async with self._connection.transaction():
            async for row in self._connection.cursor(SQL["audit_read"], *arguments):
                yield row["line"]

    async def prune(self, before: datetime) -> int:
        """Remove the rows of calls before a time; returns how many."""
        return int(await self._connection.fetchval(SQL["audit_prune"], before))


@asynccontextmanager
async def audit_table(dsn: str) -> AsyncIterator[AuditTable]:
    """Raises SetupError where the database cannot be used, or not by this role."""
    try:
        connection = await connect(dsn)
        try:
            yield AuditTable(connection)
        finally:
            await connection.close()
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        raise SetupError(f"cannot use the audit's table: {error}") from error
