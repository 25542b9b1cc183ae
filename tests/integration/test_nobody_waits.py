"""A long transaction that has looked at every table stands in nobody's way: not when graphs are
built and replaced, not when events are deleted, among thousands of events."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from large_events import (
    GRAPH,
    NO_MEMORY,
    delete,
    delete_event,
    fill,
    found,
    indexing,
    optimize,
    put,
    schemas,
    search,
)

EVENTS = 2000
# Whoever waited for the long transaction would wait for as long as the test lasts.
LONGEST_WAIT_S = 2.0
OTHER_EVENTS = """
INSERT INTO event (event_id, name, uid, display_name, location, quality_filter, detail)
SELECT number, 'other-' || number, gen_random_uuid(), '', '', 'AUTO', 'STANDARD'
  FROM generate_series(1, $1) AS number
"""
TABLES = """
SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables
 WHERE schemaname = 'public' OR schemaname LIKE 'ev\\_%'
"""
WAITS = """
SELECT coalesce(max(extract(epoch FROM clock_timestamp() - waitstart)), 0)::float8
  FROM pg_locks WHERE NOT granted
"""


@pytest.fixture
async def servers(database: Any, vision: Any, serving: Any) -> AsyncIterator[Any]:
    async with serving(
        database.settings, vision, indexer_settings=indexing(), searcher_settings=NO_MEMORY
    ) as running:
        yield running


@pytest.fixture
async def owner(database: Any) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database.owner_dsn)
    yield connection
    await connection.close()


@asynccontextmanager
async def idle_transaction(dsn: str) -> AsyncIterator[None]:
    """A transaction that has read every table and does nothing more."""
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction(isolation="repeatable_read"):
            for table in await connection.fetch(TABLES):
                await connection.fetch(f"SELECT * FROM {table['name']} LIMIT 1")
            yield
    finally:
        await connection.close()


@asynccontextmanager
async def watched_locks(dsn: str) -> AsyncIterator[None]:
    """Fails where anybody waits long for any lock while the context lasts."""
    connection = await asyncpg.connect(dsn)
    longest_s = 0.0
    stop = asyncio.Event()

    async def watch() -> None:
        nonlocal longest_s
        while not stop.is_set():
            longest_s = max(longest_s, await connection.fetchval(WAITS))
            await asyncio.sleep(0.005)

    task = asyncio.create_task(watch())
    try:
        yield
    finally:
        stop.set()
        await task
        await connection.close()
    assert longest_s < LONGEST_WAIT_S


@asynccontextmanager
async def callers(servers: Any) -> AsyncIterator[None]:
    """Somebody indexes and searches one event all the while."""
    stop = asyncio.Event()

    async def call() -> int:
        number = 0
        while not stop.is_set():
            await put(servers, "fair", f"later-{number}", [100 + number], shot=1)
            assert await found(servers, "fair", 100 + number) == [f"later-{number}"]
            number += 1
        return number

    task = asyncio.create_task(call())
    try:
        yield
    finally:
        stop.set()
        calls = await task
    assert calls > 0


async def test_nobody_waits_behind_a_long_transaction(
    servers: Any, database: Any, owner: asyncpg.Connection
) -> None:
    await owner.execute(OTHER_EVENTS, EVENTS)
    for event in ("gala", "fair", "ball"):
        await fill(servers, event)
    await optimize(servers, "fair")
    await optimize(servers, "ball")
    before = set(await schemas(owner))
    async with (
        idle_transaction(database.owner_dsn),
        watched_locks(database.owner_dsn),
        callers(servers),
        asyncio.timeout(60),
    ):
        await optimize(servers, "gala")
        assert (await search(servers, "gala", 10)).source == GRAPH
        # What the transaction has looked at cannot be dropped now; it is later.
        await optimize(servers, "fair")
        await delete_event(servers, "ball")
        assert before <= set(await schemas(owner))
        await fill(servers, "ball", shots=1)
        await delete(servers, "ball", "0-10")
        assert await found(servers, "ball", 14) == ["0-14"]
        await optimize(servers, "gala")
    async with asyncio.timeout(30):
        while before & set(await schemas(owner)):  # noqa: ASYNC110 - the database says when
            await asyncio.sleep(0.05)
    assert len(await schemas(owner)) == 2
    assert await found(servers, "gala", 10) == ["0-10", "1-10", "2-10"]
