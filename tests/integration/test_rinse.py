"""What the driver keeps of what it received is let go of when it must be."""

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
from erasing import count_in_memory

from common.db.opening import open_database
from common.db.pool import Connection, Database
from common.errors import DatabaseUnavailable
from common.names import EventName
from searcher.freed_memory import overwrite_freed_memory

GALA = EventName("gala")
MANY = 200
ANY = f"SELECT repeat(md5(random()::text), {MANY})"


@pytest.fixture
async def pool(database: Any) -> AsyncIterator[Database]:
    overwrite_freed_memory()
    async with open_database(database.settings) as opened:
        yield opened


async def received(connection: Connection) -> bytes:
    """Part of what only the driver still holds: it came many times."""
    text = await connection.fetchval(ANY)
    return str(text[:16]).encode()


def held(wanted: bytes) -> bool:
    return count_in_memory(os.getpid(), [wanted]) > MANY // 2


async def test_an_idle_connection_holds_what_came_last_until_it_is_rinsed(pool: Database) -> None:
    async with pool.statements(GALA) as connection:
        by_statement = await received(connection)
        async with pool.snapshot(GALA) as other:
            in_snapshot = await received(other)
    assert held(by_statement) and held(in_snapshot)
    await pool.rinse()
    assert not held(by_statement) and not held(in_snapshot)
    assert pool.load.busy == 0


async def test_one_in_use_is_rinsed_when_it_is_given_back(pool: Database) -> None:
    async with pool.statements(GALA) as connection:
        before = await received(connection)
        async with asyncio.timeout(5):
            await pool.rinse()
        assert held(before)
    assert not held(before)
    async with pool.snapshot(GALA) as connection:
        before = await received(connection)
        await pool.rinse()
    assert not held(before)


async def test_it_is_rinsed_once(pool: Database) -> None:
    async with pool.statements(GALA) as connection:
        number = connection.get_server_pid()
    await pool.rinse()
    async with pool.statements(GALA) as connection:
        assert connection.get_server_pid() == number
        later = await received(connection)
    assert held(later)


async def test_one_that_cannot_be_rinsed_is_closed(pool: Database, database: Any) -> None:
    async with pool.statements(GALA) as connection:
        before = await received(connection)
        number = connection.get_server_pid()
        async with pool.transaction() as other:
            await other.fetchval("SELECT pg_terminate_backend($1)", number)
    await pool.rinse()
    assert not held(before)
    async with pool.statements(GALA) as connection:
        assert await connection.fetchval("SELECT 1") == 1


async def test_one_that_broke_is_gone_and_holds_up_nobody(pool: Database, database: Any) -> None:
    """Whoever gives it back next is told of the fault, not of the giving back."""
    for way in (pool.statements, pool.transaction, pool.snapshot):
        with pytest.raises(DatabaseUnavailable):
            async with way(GALA) as connection:
                number = connection.get_server_pid()
                async with pool.transaction() as other:
                    await other.fetchval("SELECT pg_terminate_backend($1)", number)
                await connection.fetchval("SELECT pg_sleep(5)")
        assert pool.load.busy == 0
    await pool.rinse()
    assert pool.load.busy == 0
