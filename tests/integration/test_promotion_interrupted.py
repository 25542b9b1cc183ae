"""Building a graph is broken off, or fails: nothing is left lying about, and searches go on."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.request import urlopen
from uuid import UUID

import asyncpg
import pytest
from crowd import Crowd, leftovers
from facepass.v1 import events_pb2
from large_events import ask, delete_event, finished, index_of, indexing

import indexer.app
from common.db.opening import open_database
from common.db.pool import Database
from common.names import EventName
from indexer.graphs.operations import Operation, Phase

SETTINGS = indexing(hnsw_min_faces=1000)
# As Postgres says it when a disk is full, and a plain fault.
FAILURES = {
    "OUT_OF_SPACE": "RAISE EXCEPTION USING ERRCODE = 'disk_full'",
    "INTERNAL": "RAISE EXCEPTION 'secret'",
}
BROKEN = """
CREATE OR REPLACE FUNCTION index_relation(number bigint, m integer, ef_construction integer)
RETURNS void LANGUAGE plpgsql AS $$ BEGIN {failure}; END $$
"""


@pytest.fixture
async def pool(database: Any) -> AsyncIterator[Database]:
    async with open_database(database.settings) as opened:
        yield opened


@pytest.fixture
async def owner(database: Any) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database.owner_dsn)
    yield connection
    await connection.close()


@pytest.fixture
async def servers(database: Any, vision: Any, serving: Any) -> AsyncIterator[Any]:
    async with serving(database.settings, vision, indexer_settings=SETTINGS) as running:
        yield running


@pytest.fixture
async def crowd(pool: Database) -> Crowd:
    """6,000 faces: their graph takes long enough to be interrupted."""
    return await Crowd.gathered(pool, "gala", 60, 100)


async def building(crowd: Crowd, operation: str) -> None:
    """Wait until the graph is being built."""
    async with asyncio.timeout(30):
        while True:
            found = await crowd.operations.get(UUID(operation.rpartition("/")[2]))
            assert found is not None and not found.done
            if found.phase is Phase.BUILDING:
                return
            await asyncio.sleep(0.002)


async def tidy(owner: asyncpg.Connection) -> None:
    """Wait until nothing lies about."""
    for _ in range(600):
        if not (wrong := await leftovers(owner, EventName("gala"))):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(wrong)


async def test_a_build_is_cancelled(servers: Any, crowd: Crowd, owner: Any) -> None:
    name = (await ask(servers, "gala")).name
    await building(crowd, name)
    await crowd.operations.cancel(UUID(name.rpartition("/")[2]))
    assert (await finished(servers, name)).HasField("error")
    await tidy(owner)
    assert (await index_of(servers, "gala")).strategy == events_pb2.INDEX_STRATEGY_EXACT
    await crowd.assert_whole()


async def test_an_event_is_deleted_while_its_graph_is_built(
    servers: Any, crowd: Crowd, owner: Any
) -> None:
    name = (await ask(servers, "gala")).name
    await building(crowd, name)
    await delete_event(servers, "gala")
    assert (await finished(servers, name)).HasField("error")
    await tidy(owner)


async def test_a_server_that_stops_leaves_the_work_to_others_at_once(
    database: Any, vision: Any, crowd: Crowd, owner: Any
) -> None:
    settings = SETTINGS.model_copy(update={"database": database.settings})
    operation = await crowd.operations.open(await crowd.event())
    name = f"operations/{operation.operation_id}"
    async with indexer.app.running(settings, vision):
        await building(crowd, name)
    assert await owner.fetchval("SELECT count(*) FROM operation WHERE claimed_by IS NULL") == 1
    async with indexer.app.running(settings, vision), asyncio.timeout(30):
        while not (await read(crowd, operation)).done:  # noqa: ASYNC110 - the database says when
            await asyncio.sleep(0.05)
        await tidy(owner)
    assert (await crowd.event()).relation is not None
    await crowd.assert_whole()


async def read(crowd: Crowd, operation: Operation) -> Operation:
    found = await crowd.operations.get(operation.operation_id)
    assert found is not None
    return found


@pytest.mark.parametrize("reason", FAILURES)
async def test_a_build_fails(
    database: Any, vision: Any, serving: Any, crowd: Crowd, owner: Any, reason: str
) -> None:
    await owner.execute(BROKEN.format(failure=FAILURES[reason]))
    settings = indexing(hnsw_min_faces=1000, quiet_s=0)
    async with serving(database.settings, vision, indexer_settings=settings) as servers:
        name = f"operations/{await first_operation(owner)}"
        operation = await finished(servers, name)
        assert operation.error.details[0].value.find(reason.encode()) > 0
        assert "secret" not in operation.error.message
        await tidy(owner)
        await crowd.assert_whole()
        # Not again and again: the event is due still.
        event = await crowd.event()
        assert event.relation is None
        assert await owner.fetchval("SELECT count(*) FROM operation") == 1


async def first_operation(owner: asyncpg.Connection) -> UUID:
    async with asyncio.timeout(30):
        while True:
            found = await owner.fetchval("SELECT operation_id FROM operation")
            if found is not None:
                return UUID(str(found))
            await asyncio.sleep(0.02)


async def test_metrics_tell_of_graphs(servers: Any, crowd: Crowd, owner: Any) -> None:
    await finished(servers, (await ask(servers, "gala")).name)
    await tidy(owner)
    address = f"http://127.0.0.1:{servers.indexer_server.metrics_port}/metrics"

    def value(name: str) -> float:
        with urlopen(address) as answer:
            lines = answer.read().decode().splitlines()
        return next((float(x.rsplit(" ", 1)[1]) for x in lines if x.startswith(f"{name} ")), 0.0)

    async with asyncio.timeout(30):
        while value('facepass_relations{state="serving"}') != 1:  # noqa: ASYNC110 - asked for it
            await asyncio.sleep(0.05)
    assert value('facepass_promotions_total{outcome="hnsw"}') == 1
    assert value('facepass_promotion_seconds_count{phase="building"}') == 1
    assert value("facepass_index_recall_count") == 1
    assert value("facepass_index_recall_sum") > 0.9
    assert value("facepass_index_under_returns_total") == 0
