"""Whether a Postgres makes sure that what it wrote outlives the power."""

import asyncio

import asyncpg
from patience import PATIENCE_S


async def set_fsync(superuser: asyncpg.Connection, value: str) -> str:
    """Set it to `on` or `off` for everybody; returns what it was."""
    was = str(await superuser.fetchval("SHOW fsync"))
    await superuser.execute(f"ALTER SYSTEM SET fsync = {value}")
    await superuser.execute("SELECT pg_reload_conf()")
    async with asyncio.timeout(PATIENCE_S):
        while await superuser.fetchval("SHOW fsync") != value:  # noqa: ASYNC110 - the database says when
            await asyncio.sleep(0.01)
    return was
