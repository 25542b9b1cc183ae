"""What tests of large events share: settings under which 20 faces are many, and such events."""

from typing import Any

import asyncpg
from facepass.v1 import events_pb2, indexer_pb2, searcher_pb2
from google.longrunning import operations_pb2, operations_pb2_grpc

from common.vision.fake.engine import FakeEngine
from common.vision.fake.photos import fake_photo
from indexer.config import IndexerServerSettings, IndexerSettings, PromotionSettings
from searcher.config import GallerySettings, SearcherServerSettings, SearcherSettings

PEOPLE = range(10, 26)
GRAPH, SCAN = searcher_pb2.SEARCH_SOURCE_GRAPH, searcher_pb2.SEARCH_SOURCE_SCAN
NO_MEMORY = SearcherSettings(
    searcher=SearcherServerSettings(listen="127.0.0.1:0", metrics_listen="127.0.0.1:0"),
    gallery=GallerySettings(memory_bytes=0),
)


def indexing(**promotion: Any) -> IndexerSettings:
    """An event of 20 faces is large here, and nothing happens by itself."""
    values = {"hnsw_min_faces": 20, "quiet_s": 86_400, "interval_s": 0.1, **promotion}
    return IndexerSettings(
        indexer=IndexerServerSettings(listen="127.0.0.1:0", metrics_listen="127.0.0.1:0"),
        promotion=PromotionSettings(**values),
    )


async def create(servers: Any, event: str) -> None:
    await servers.events.CreateEvent(events_pb2.CreateEventRequest(event_id=event))


async def put(servers: Any, event: str, photo_id: str, people: list[int], shot: int) -> None:
    await servers.indexer.IndexPhoto(
        indexer_pb2.IndexPhotoRequest(
            config=indexer_pb2.IndexPhotosConfig(event=f"events/{event}"),
            photo=indexer_pb2.PhotoHeader(photo_id=photo_id),
            content=fake_photo(people, shot=shot),
        )
    )


async def fill(servers: Any, event: str, shots: int = 3) -> None:
    """Photos of everybody, four people in each: `shots` faces a person."""
    await create(servers, event)
    for shot in range(shots):
        for first in PEOPLE[::4]:
            await put(servers, event, f"{shot}-{first}", [*range(first, first + 4)], shot)


async def delete(servers: Any, event: str, photo_id: str) -> None:
    name = f"events/{event}/photos/{photo_id}"
    await servers.indexer.DeletePhoto(indexer_pb2.DeletePhotoRequest(name=name))


async def delete_event(servers: Any, event: str) -> None:
    await servers.events.DeleteEvent(events_pb2.DeleteEventRequest(name=f"events/{event}"))


async def search(servers: Any, event: str, person: int, **fields: Any) -> Any:
    values = FakeEngine().embedding(person, 0).tolist()
    probe = searcher_pb2.Probe(embedding={"values": values, "pack": FakeEngine().pack.key})
    return await servers.searcher.Search(
        searcher_pb2.SearchRequest(
            event=f"events/{event}", probes=[probe], page_size=1000, **fields
        )
    )


async def found(servers: Any, event: str, person: int) -> list[str]:
    """Ids of the photos of a person, as often as they are answered."""
    response = await search(servers, event, person)
    return sorted(match.photo.rpartition("/")[2] for match in response.matches)


async def found_of_all(servers: Any, event: str) -> dict[int, list[str]]:
    return {person: await found(servers, event, person) for person in PEOPLE}


async def index_of(servers: Any, event: str) -> Any:
    response = await servers.events.GetEvent(events_pb2.GetEventRequest(name=f"events/{event}"))
    return response.event.index


async def ask(servers: Any, event: str) -> Any:
    """The operation that optimizes an event."""
    request = indexer_pb2.OptimizeEventRequest(name=f"events/{event}")
    return await servers.indexer.OptimizeEvent(request)


async def finished(servers: Any, name: str) -> Any:
    """The operation once it is done."""
    stub = operations_pb2_grpc.OperationsStub(servers.indexer_channel)
    operation = await stub.WaitOperation(operations_pb2.WaitOperationRequest(name=name), timeout=60)
    assert operation.done
    return operation


async def optimize(servers: Any, event: str) -> None:
    """Optimize an event, which must succeed."""
    operation = await finished(servers, (await ask(servers, event)).name)
    assert not operation.HasField("error"), operation.error


async def schemas(owner: asyncpg.Connection) -> list[str]:
    """Every schema of an own relation that there is."""
    rows = await owner.fetch(r"SELECT nspname FROM pg_namespace WHERE nspname LIKE 'ev\_%'")
    return sorted(row["nspname"] for row in rows)
