"""What Postgres says of the archive of its log: whether every change leaves the machine in time."""

from dataclasses import dataclass

import asyncpg

from common.db.sql import load_queries

SQL = load_queries("common.db")
BEHIND_S = 600.0
"""From when on the archive counts as behind: Postgres tries a file again every minute."""


@dataclass(frozen=True, slots=True)
class LogArchive:
    """files: how many finished ones wait to be archived, as far as their names tell. waiting_s:
    since when nothing was archived while some wait; 0 while none does."""

    archives: bool
    files: int
    waiting_s: float

    @property
    def behind(self) -> bool:
        return self.waiting_s > BEHIND_S


async def examine_archive(connection: asyncpg.Connection) -> LogArchive:
    """Look at a primary's archive; any role may."""
    return LogArchive(**dict(await connection.fetchrow(SQL["log_archive"])))
