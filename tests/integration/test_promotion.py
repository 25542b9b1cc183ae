"""Large events get a graph of their own: found before, during and after, whatever happens."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import grpc
import pytest
from facepass.v1 import events_pb2, indexer_pb2, searcher_pb2
from google.longrunning import operations_pb2, operations_pb2_grpc

from common.vision.fake_engine import FakeEngine
from common.vision.fake_photos import fake_photo
from indexer.config import IndexerServerSettings, IndexerSettings, PromotionSettings
from searcher.config import GallerySettings, SearcherServerSettings, SearcherSettings

PEOPLE = range(10, 26)
GRAPH, SCAN = searcher_pb2.SEARCH_SOURCE_GRAPH, searcher_pb2.SEARCH_SOURCE_SCAN
ANY_PORT = {"listen": "127.0.0.1:0", "metrics_listen": "127.0.0.1:0"}
NO_MEMORY = SearcherSettings(
    searcher=SearcherServerSettings(**ANY_PORT), gallery=GallerySettings(memory_bytes=0)
)


def indexing(**promotion: Any) -> IndexerSettings:
    """An event of 20 faces is large here, and nothing happens by itself."""
    values = {"hnsw_min_faces": 20, "quiet_s": 86_400, "interval_s": 0.1, **promotion}
    return IndexerSettings(
        indexer=IndexerServerSettings(**ANY_PORT), promotion=PromotionSettings(**values)
    )


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


async def put(servers: Any, event: str, photo_id: str, people: list[int], shot: int) -> None:
    await servers.indexer.IndexPhoto(
        indexer_pb2.IndexPhotoRequest(
            config=indexer_pb2.IndexPhotosConfig(event=f"events/{event}"),
            photo=indexer_pb2.PhotoHeader(photo_id=photo_id),
            content=fake_photo(people, shot=shot),
        )
    )


async def fill(servers: Any, event: str, shots: int = 3) -> None:
    """Photos of everybody: `shots` faces a person."""
    await servers.events.CreateEvent(events_pb2.CreateEventRequest(event_id=event))
    for shot in range(shots):
        for start in range(0, len(PEOPLE), 4):
            people = list(PEOPLE[start : start + 4])
            await put(servers, event, f"{shot}-{people[0]}", people, shot)


async def delete(servers: Any, event: str, photo_id: str) -> None:
    name = f"events/{event}/photos/{photo_id}"
    await servers.indexer.DeletePhoto(indexer_pb2.DeletePhotoRequest(name=name))


async def search(servers: Any, event: str, person: int) -> searcher_pb2.SearchResponse:
    values = FakeEngine().embedding(person, 0).tolist()
    probe = searcher_pb2.Probe(embedding={"values": values, "pack": FakeEngine().pack.key})
    request = searcher_pb2.SearchRequest(event=f"events/{event}", probes=[probe], page_size=1000)
    return await servers.searcher.Search(request)  # type: ignore[no-any-return]


async def found(servers: Any, event: str, person: int) -> list[str]:
    response = await search(servers, event, person)
    return sorted(match.photo.rpartition("/")[2] for match in response.matches)


async def index_of(servers: Any, event: str) -> events_pb2.EventIndex:
    response = await servers.events.GetEvent(events_pb2.GetEventRequest(name=f"events/{event}"))
    return response.event.index  # type: ignore[no-any-return]


async def optimize(servers: Any, event: str) -> operations_pb2.Operation:
    """Ask for it and wait until it is done."""
    request = indexer_pb2.OptimizeEventRequest(name=f"events/{event}")
    operation = await servers.indexer.OptimizeEvent(request)
    return await finished(servers, operation.name)


async def finished(servers: Any, name: str) -> operations_pb2.Operation:
    stub = operations_pb2_grpc.OperationsStub(servers.indexer_channel)
    operation = await stub.WaitOperation(operations_pb2.WaitOperationRequest(name=name), timeout=60)
    assert operation.done
    return operation  # type: ignore[no-any-return]


async def schemas(owner: asyncpg.Connection) -> list[str]:
    rows = await owner.fetch("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'ev\\_%'")
    return [row["nspname"] for row in rows]


async def test_an_optimized_event_is_searched_by_its_graph(servers: Any, owner: Any) -> None:
    await fill(servers, "gala")
    before = {person: await found(servers, "gala", person) for person in PEOPLE}
    assert all(len(photos) == 3 for photos in before.values())
    assert (await search(servers, "gala", 10)).source == SCAN

    operation = await optimize(servers, "gala")
    assert not operation.HasField("error"), operation.error
    assert (await search(servers, "gala", 10)).source == GRAPH
    assert {person: await found(servers, "gala", person) for person in PEOPLE} == before
    index = await index_of(servers, "gala")
    assert index.strategy == events_pb2.INDEX_STRATEGY_HNSW
    assert index.state == events_pb2.INDEX_STATE_READY
    assert (index.faces, index.recall) == (48, 1.0)
    assert index.size_bytes > 0 and index.ef_search == 100 and index.HasField("build_time")
    assert await owner.fetchval("SELECT count(*) FROM face") == 0
    assert await owner.fetchval("SELECT state FROM relation") == "SERVING"
