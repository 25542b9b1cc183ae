"""Large events get a graph of their own: found before, during and after, whatever happens."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from facepass.v1 import events_pb2, indexer_pb2
from large_events import (
    GRAPH,
    NO_MEMORY,
    PEOPLE,
    SCAN,
    ask,
    create,
    delete,
    delete_event,
    fill,
    finished,
    found,
    found_of_all,
    index_of,
    indexing,
    optimize,
    put,
    schemas,
    search,
)

from indexer.graphs.recall import FIRST_EF_SEARCH
from standalone.embedded import EmbeddedPostgres

pytestmark = pytest.mark.takes(39)


@pytest.fixture
async def servers(database: Any, vision: Any, serving: Any) -> AsyncIterator[Any]:
    """Both servers, with nothing kept in memory and events promoted on demand only."""
    async with serving(
        database.settings, vision, indexer_settings=indexing(), searcher_settings=NO_MEMORY
    ) as running:
        yield running


@pytest.fixture
async def owner(database: Any) -> AsyncIterator[asyncpg.Connection]:
    """Looks behind the scenes."""
    connection = await asyncpg.connect(database.owner_dsn)
    yield connection
    await connection.close()


async def eventually(servers: Any, event: str, strategy: int) -> None:
    """Wait until the background has brought an event there."""
    async with asyncio.timeout(30):
        while True:
            index = await index_of(servers, event)
            ready = index.state == events_pb2.INDEX_STATE_READY
            if ready and index.strategy == strategy:
                return
            await asyncio.sleep(0.05)


async def test_an_optimized_event_is_searched_by_its_graph(servers: Any, owner: Any) -> None:
    await fill(servers, "gala")
    before = await found_of_all(servers, "gala")
    assert all(len(photos) == 3 for photos in before.values())
    assert (await search(servers, "gala", 10)).source == SCAN

    await optimize(servers, "gala")
    answer = await search(servers, "gala", 10)
    assert (answer.source, answer.exact) == (GRAPH, False)
    assert (await search(servers, "gala", 10, exact=True)).source == SCAN
    assert await found_of_all(servers, "gala") == before
    index = await index_of(servers, "gala")
    assert index.strategy == events_pb2.INDEX_STRATEGY_HNSW
    assert index.state == events_pb2.INDEX_STATE_READY
    assert (index.faces, index.recall) == (48, 1.0)
    assert index.ef_search == FIRST_EF_SEARCH
    assert index.size_bytes > 0 and index.HasField("build_time")
    assert await owner.fetchval("SELECT count(*) FROM face WHERE event_id > 0") == 0
    assert await owner.fetchval("SELECT state FROM relation") == "SERVING"


async def test_photos_and_faces_are_read_from_the_relation(servers: Any) -> None:
    await fill(servers, "gala")
    request = indexer_pb2.ListPhotosRequest(parent="events/gala")
    before = await servers.indexer.ListPhotos(request)
    await optimize(servers, "gala")
    assert await servers.indexer.ListPhotos(request) == before


async def test_later_faces_are_found_at_once_and_folded_in(servers: Any, owner: Any) -> None:
    await fill(servers, "gala")
    await optimize(servers, "gala")
    await put(servers, "gala", "later", [10, 900], shot=5)
    assert await found(servers, "gala", 10) == ["0-10", "1-10", "2-10", "later"]
    assert await found(servers, "gala", 900) == ["later"]
    assert (await index_of(servers, "gala")).faces == 48

    await optimize(servers, "gala")
    assert (await index_of(servers, "gala")).faces == 50
    assert await found(servers, "gala", 900) == ["later"]
    assert await owner.fetchval("SELECT count(*) FROM face WHERE event_id > 0") == 0
    assert len(await schemas(owner)) == 1


async def test_deletions_reach_the_relation(servers: Any) -> None:
    await fill(servers, "gala")
    await optimize(servers, "gala")
    await delete(servers, "gala", "1-10")
    assert await found(servers, "gala", 10) == ["0-10", "2-10"]
    await put(servers, "gala", "1-10", [10], shot=1)
    assert await found(servers, "gala", 10) == ["0-10", "1-10", "2-10"]


async def test_an_event_that_shrinks_is_demoted(servers: Any, owner: Any) -> None:
    await fill(servers, "gala")
    await optimize(servers, "gala")
    for shot in range(3):
        for first in PEOPLE[4::4]:
            await delete(servers, "gala", f"{shot}-{first}")
    kept = await found_of_all(servers, "gala")
    await put(servers, "gala", "later", [500], shot=0)
    assert await owner.fetchval("SELECT count(*) FROM face WHERE event_id > 0") == 1

    # 13 faces are above half of 20: the graph stays.
    await optimize(servers, "gala")
    assert (await index_of(servers, "gala")).strategy == events_pb2.INDEX_STRATEGY_HNSW
    await delete(servers, "gala", "2-10")
    kept = {person: [p for p in photos if p != "2-10"] for person, photos in kept.items()}

    await optimize(servers, "gala")
    index = await index_of(servers, "gala")
    assert index.strategy == events_pb2.INDEX_STRATEGY_EXACT
    assert (index.faces, index.size_bytes, index.HasField("build_time")) == (0, 0, False)
    assert await found_of_all(servers, "gala") == kept
    assert await found(servers, "gala", 500) == ["later"]
    assert (await search(servers, "gala", 10)).source == SCAN
    assert await schemas(owner) == []
    assert await owner.fetchval("SELECT count(*) FROM relation") == 0


async def test_deletion_takes_the_relation_with_it(servers: Any, owner: Any) -> None:
    await fill(servers, "gala")
    await optimize(servers, "gala")
    assert len(await schemas(owner)) == 1
    await delete_event(servers, "gala")
    assert await schemas(owner) == []
    await fill(servers, "gala", shots=1)
    assert await found(servers, "gala", 10) == ["0-10"]
    await optimize(servers, "gala")
    assert await found(servers, "gala", 10) == ["0-10"]


async def test_deletion_leaves_nothing_in_the_files(
    servers: Any, owner: Any, postgres: EmbeddedPostgres
) -> None:
    await fill(servers, "gala")
    await optimize(servers, "gala")
    (schema,) = await schemas(owner)
    names = await owner.fetch(
        "SELECT pg_relation_filepath(c.oid) AS path FROM pg_class c"
        " WHERE relnamespace = $1::regnamespace AND relkind IN ('r', 'i')",
        schema,
    )
    files = [postgres.data_dir / "postgres" / row["path"] for row in names]
    assert len(files) == 4 and all(file.stat().st_size for file in files)
    await delete_event(servers, "gala")
    # Postgres empties them at once, and removes them at the next checkpoint.
    assert not any(file.exists() and file.stat().st_size for file in files)


async def test_events_do_not_see_each_other(servers: Any) -> None:
    await fill(servers, "gala")
    await fill(servers, "fair", shots=2)
    await optimize(servers, "gala")
    await optimize(servers, "fair")
    assert len(await found(servers, "gala", 10)) == 3
    assert len(await found(servers, "fair", 10)) == 2


async def test_searches_go_on_while_a_graph_is_built(servers: Any) -> None:
    await fill(servers, "gala")
    expected = await found_of_all(servers, "gala")
    operation = await ask(servers, "gala")
    done = asyncio.create_task(finished(servers, operation.name))
    sources = set()
    while not done.done():
        answer = await search(servers, "gala", 10)
        sources.add(answer.source)
        assert sorted(m.photo.rpartition("/")[2] for m in answer.matches) == expected[10]
    assert sources <= {SCAN, GRAPH}
    assert await found_of_all(servers, "gala") == expected


async def test_quiet_events_are_promoted_by_themselves(
    database: Any, vision: Any, serving: Any
) -> None:
    settings = indexing(quiet_s=0.2)
    async with serving(
        database.settings, vision, indexer_settings=settings, searcher_settings=NO_MEMORY
    ) as servers:
        await create(servers, "small")
        await put(servers, "small", "one", [10], shot=0)
        await fill(servers, "gala")
        await eventually(servers, "gala", events_pb2.INDEX_STRATEGY_HNSW)
        assert (await search(servers, "gala", 10)).source == GRAPH
        assert (await index_of(servers, "small")).strategy == events_pb2.INDEX_STRATEGY_EXACT
        for shot in range(3):
            for first in PEOPLE[4::4]:
                await delete(servers, "gala", f"{shot}-{first}")
        await delete(servers, "gala", "2-10")
        await eventually(servers, "gala", events_pb2.INDEX_STRATEGY_EXACT)
        assert await found(servers, "gala", 10) == ["0-10", "1-10"]


async def test_two_servers_build_a_graph_once(
    database: Any, vision: Any, serving: Any, servers: Any, owner: Any
) -> None:
    await fill(servers, "gala")
    async with serving(
        database.settings, vision, indexer_settings=indexing(), searcher_settings=NO_MEMORY
    ) as others:
        names = [(await ask(each, "gala")).name for each in (servers, others, servers)]
        for name in set(names):
            assert not (await finished(others, name)).HasField("error")
        assert await found(others, "gala", 10) == ["0-10", "1-10", "2-10"]
    built = await owner.fetchval("SELECT last_value FROM relation_number")
    assert built == len(set(names))
    assert len(await schemas(owner)) == 1


async def test_a_server_that_builds_nothing_leaves_it_to_others(
    database: Any, vision: Any, serving: Any
) -> None:
    async with serving(database.settings, vision, indexer_settings=indexing(enabled=False)) as idle:
        await fill(idle, "gala")
        operation = await ask(idle, "gala")
        assert not operation.done
        assert (await index_of(idle, "gala")).state == events_pb2.INDEX_STATE_BUILDING
        async with serving(database.settings, vision, indexer_settings=indexing()):
            assert not (await finished(idle, operation.name)).HasField("error")
        assert (await index_of(idle, "gala")).strategy == events_pb2.INDEX_STRATEGY_HNSW
