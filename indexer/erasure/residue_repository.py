"""What of removed templates is still in the database's files."""

import logging
from dataclasses import dataclass

import asyncpg

from common.db.pool import Database
from common.db.sql import load_queries

log = logging.getLogger(__name__)
SQL = load_queries("indexer.erasure")
_PAGES_AT_A_TIME = 50
_PAGES_A_ROUND = 20_000
_HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Backlog:
    """Pages that are to be overwritten, and the age in seconds of the oldest erasure that is still
    in some file."""

    pages: int
    age_s: float


class ResidueRepository:
    """Overwrites pages and says what is on the disk."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def may_vacuum(self) -> bool:
        async with self._database.transaction() as connection:
            return bool(await connection.fetchval(SQL["may_vacuum"]))

    async def wipe_faces(self) -> tuple[int, int]:
        """Overwrite what removed faces left in pages of the shared table; returns how many pages
        there were and how many were done."""
        async with self._database.transaction() as connection:
            await connection.execute(SQL["forget_rewritten"])
            pages = await connection.fetch(SQL["ready_pages"], "face", _PAGES_A_ROUND)
        if not pages:
            return 0, 0
        await self._vacuum("vacuum_faces")
        done = 0
        for start in range(0, len(pages), _PAGES_AT_A_TIME):
            some = pages[start : start + _PAGES_AT_A_TIME]
            blocks, xids = [row["block"] for row in some], [row["xid"] for row in some]
            async with self._database.transaction() as connection:
                done += await connection.fetchval(SQL["wipe_pages"], blocks, xids)
        return len(pages), done

    async def wipe_suppressions(self) -> None:
        """Write the table of suppressions anew where some were removed."""
        async with self._database.transaction() as connection:
            ready = await connection.fetch(SQL["ready_pages"], "suppression", 1)
        if ready:
            await self._vacuum("rewrite_suppressions")
            async with self._database.transaction() as connection:
                await connection.execute(SQL["forget_rewritten"])

    async def wipe_shards(self) -> tuple[int, int]:
        """Write shards anew from which something was removed, and to disk, one at a time; returns
        how many there were and how many were done. Nothing on a database that is not distributed.

        Searches and uploads of a shard's events wait meanwhile.
        """
        if not self._database.distributed:
            return 0, 0
        async with self._database.transaction() as connection:
            await connection.execute(SQL["forget_rewritten"])
            await connection.execute(SQL["forget_moved"])
            shards = await connection.fetch(SQL["ready_shards"])
        done = 0
        for shard in shards:
            if await self._rewrite(shard):
                async with self._database.transaction() as connection:
                    await connection.execute(SQL["forget_shard"], shard["shard"], shard["xid"])
                done += 1
        return len(shards), done

    async def _rewrite(self, shard: asyncpg.Record) -> bool:
        """Whether nobody there could see what was removed, and it is gone now."""
        node = (shard["nodename"], shard["nodeport"])
        async with self._database.statements() as connection:
            await connection.execute(SQL["lift_timeout"])
            try:
                held = await connection.fetchrow(SQL["run_on_node"], *node, shard["held"])
                if not held["success"] or held["result"] != "0":
                    return False
                for command in (shard["rewrite"], SQL["switch_wal"], SQL["checkpoint"]):
                    ran = await connection.fetchrow(
                        SQL["run_on_node"], *node, command, timeout=_HOUR_S
                    )
                    if not ran["success"]:
                        extra = {"action": "shard_not_wiped", "shard": shard["shard"]}
                        log.warning("shard not wiped: %s", ran["result"], extra=extra)
                        return False
            finally:
                await connection.execute(SQL["restore_timeout"])
        return True

    async def _vacuum(self, query: str) -> None:
        # Not in a transaction, so the longest run cannot be set for it alone.
        async with self._database.statements() as connection:
            await connection.execute(SQL["lift_timeout"])
            try:
                await connection.execute(SQL[query], timeout=_HOUR_S)
            finally:
                await connection.execute(SQL["restore_timeout"])

    async def mark_wiped(self) -> bool:
        """Note of which erasures nothing is left but what is not written to disk yet; returns
        whether there are any."""
        async with self._database.transaction() as connection:
            return bool(await connection.fetch(SQL["mark_wiped"]))

    async def checkpoint(self) -> bool:
        """Write everything to disk now; False where this role may not, so that Postgres does when
        it is time."""
        try:
            async with self._database.statements() as connection:
                if self._database.distributed:
                    return bool(await connection.fetchval(SQL["to_disk_on_nodes"], timeout=_HOUR_S))
                await connection.fetch(SQL["switch_wal"])
                await connection.execute(SQL["checkpoint"], timeout=_HOUR_S)
        except asyncpg.InsufficientPrivilegeError:
            return False
        return True

    async def mark_physical(self, backup_days: int) -> list[tuple[str, float]]:
        """Note which erasures are on the disk; returns kind and age in seconds of each."""
        async with self._database.transaction() as connection:
            rows = await connection.fetch(SQL["mark_physical"], backup_days)
            return [(row["kind"], row["seconds"]) for row in rows]

    async def backlog(self) -> Backlog:
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(SQL["residue_counts"])
            return Backlog(row["pages"], row["age_s"])
