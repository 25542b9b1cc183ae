"""An event past its expire_time is gone for everybody at once, and from the files soon after."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import pytest
from erasing import hits_in_files, templates_of
from facepass.errors import from_rpc_error
from facepass.v1 import erasures_pb2, events_pb2, indexer_pb2, searcher_pb2
from google.longrunning import operations_pb2, operations_pb2_grpc
from large_events import ask, create, fill, found, indexing, optimize, put, search

from common.config import TemplateSettings
from common.db.events import EventReader, PackRegistry
from common.db.opening import open_database
from common.names import EventName
from common.vision.fake.photos import fake_photo
from indexer.config import ErasureSettings, RetentionSettings
from indexer.erasure.event_removal_repository import ExpiredEvents

NEVER = indexing().model_copy(
    update={
        "retention": RetentionSettings(interval_s=86_400),
        "erasure": ErasureSettings(interval_s=86_400),
    }
)
SOON = indexing().model_copy(
    update={
        "retention": RetentionSettings(interval_s=0.2),
        "erasure": ErasureSettings(interval_s=0.2),
    }
)
PERSON = 10


@pytest.fixture
async def servers(database: Any, vision: Any, serving: Any) -> AsyncIterator[Any]:
    """Servers that leave the rows of expired events where they are."""
    async with serving(database.settings, vision, indexer_settings=NEVER) as running:
        yield running


@pytest.fixture
async def owner(database: Any) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database.owner_dsn)
    yield connection
    await connection.close()


async def expire(owner: asyncpg.Connection, event: str) -> None:
    """Let an event's time be over, as if the clock had gone on."""
    told = await owner.execute(
        "UPDATE event SET expire_time = now() - interval '1 second' WHERE name = $1", event
    )
    assert told == "UPDATE 1"


async def refused(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), from_rpc_error(caught.value).reason


async def rows_of(owner: asyncpg.Connection, event: str) -> dict[str, int]:
    key = EventName(event).key
    tables = ("event", "photo", "face", "tombstone", "ingest", "suppression", "relation")
    counts = {
        table: await owner.fetchval(f"SELECT count(*) FROM {table} WHERE event_id = $1", key)
        for table in tables
    }
    return {table: count for table, count in counts.items() if count}


def calls(servers: Any, uid: str) -> dict[str, Any]:
    """Every RPC that speaks of the event, its photos or faces."""
    name, photo = "events/gala", "events/gala/photos/0-10"
    face = f"{photo}/faces/1"
    probe = searcher_pb2.Probe(face=face)
    selfie = searcher_pb2.Probe(image=fake_photo([PERSON]))
    indexer, events, searcher = servers.indexer, servers.events, servers.searcher
    return {
        "GetEvent": events.GetEvent(events_pb2.GetEventRequest(name=name)),
        "GetEvent by uid": events.GetEvent(events_pb2.GetEventRequest(uid=uid)),
        "UpdateEvent": events.UpdateEvent(
            events_pb2.UpdateEventRequest(event=events_pb2.Event(name=name, location="here"))
        ),
        "DeleteEvent": events.DeleteEvent(events_pb2.DeleteEventRequest(name=name)),
        "IndexPhoto": put(servers, "gala", "0-10", [PERSON], 0),
        "GetPhoto": indexer.GetPhoto(indexer_pb2.GetPhotoRequest(name=photo)),
        "ListPhotos": indexer.ListPhotos(indexer_pb2.ListPhotosRequest(parent=name)),
        "DeletePhoto": indexer.DeletePhoto(indexer_pb2.DeletePhotoRequest(name=photo)),
        "DeleteFace": indexer.DeleteFace(indexer_pb2.DeleteFaceRequest(name=face)),
        "OptimizeEvent": ask(servers, "gala"),
        "ErasePerson": indexer.ErasePerson(
            erasures_pb2.ErasePersonRequest(event=name, face=face, validate_only=True)
        ),
        "Search": search(servers, "gala", PERSON),
        "Search exactly": search(servers, "gala", PERSON, exact=True),
        "Search with a face": searcher.Search(
            searcher_pb2.SearchRequest(event=name, probes=[probe])
        ),
        "Search with a selfie": searcher.Search(
            searcher_pb2.SearchRequest(event=name, probes=[selfie])
        ),
        "CompareFaces": searcher.CompareFaces(
            searcher_pb2.CompareFacesRequest(left=probe, right=selfie)
        ),
    }


@pytest.mark.parametrize("promoted", [False, True])
async def test_every_rpc_answers_as_if_it_were_gone(
    servers: Any, owner: asyncpg.Connection, promoted: bool
) -> None:
    await fill(servers, "gala")
    if promoted:
        await optimize(servers, "gala")
    event = (await servers.events.GetEvent(events_pb2.GetEventRequest(name="events/gala"))).event
    for _ in range(50):  # until it is in memory
        answer = await search(servers, "gala", PERSON)
        if answer.source == searcher_pb2.SEARCH_SOURCE_MEMORY:
            break
        await asyncio.sleep(0.1)
    assert answer.source == searcher_pb2.SEARCH_SOURCE_MEMORY and len(answer.matches) == 3
    await expire(owner, "gala")
    for method, call in calls(servers, event.uid).items():
        assert await refused(call) == (grpc.StatusCode.NOT_FOUND, "EVENT_NOT_FOUND"), method
    listed = await servers.events.ListEvents(events_pb2.ListEventsRequest())
    assert list(listed.events) == []
    assert "face" in await rows_of(owner, "gala") or promoted


async def test_an_operation_ends_with_its_event(
    database: Any, vision: Any, serving: Any, owner: asyncpg.Connection
) -> None:
    waiting = indexing(enabled=False).model_copy(update={"retention": NEVER.retention})
    async with serving(database.settings, vision, indexer_settings=waiting) as servers:
        await fill(servers, "gala")
        operation = await ask(servers, "gala")
        assert not operation.done
        await expire(owner, "gala")
        stub = operations_pb2_grpc.OperationsStub(servers.indexer_channel)
        told = await stub.GetOperation(operations_pb2.GetOperationRequest(name=operation.name))
        assert told.done and told.error.code == grpc.StatusCode.NOT_FOUND.value[0]


async def test_a_stream_that_began_before_ends(servers: Any, owner: asyncpg.Connection) -> None:
    await fill(servers, "gala")
    stream = servers.indexer.IndexPhotos()
    config = indexer_pb2.IndexPhotosConfig(event="events/gala")
    await stream.write(indexer_pb2.IndexPhotosRequest(config=config))
    await stream.initial_metadata()
    await expire(owner, "gala")
    # An id that is taken: nothing may be told of what was there.
    header = indexer_pb2.PhotoHeader(photo_id="0-10")
    await stream.write(indexer_pb2.IndexPhotosRequest(photo=header))
    chunk = indexer_pb2.PhotoChunk(data=fake_photo([PERSON], shot=9), last=True)
    await stream.write(indexer_pb2.IndexPhotosRequest(chunk=chunk))
    await stream.done_writing()
    answers = []

    async def read() -> None:
        async for answer in stream:
            answers.append(answer)

    assert await refused(read()) == (grpc.StatusCode.NOT_FOUND, "EVENT_NOT_FOUND")
    assert answers == []


async def test_the_name_is_free_at_once(servers: Any, owner: asyncpg.Connection) -> None:
    await fill(servers, "gala")
    assert len(await found(servers, "gala", PERSON)) == 3
    await expire(owner, "gala")
    await create(servers, "gala")
    assert await found(servers, "gala", PERSON) == []
    await put(servers, "gala", "0-10", [PERSON], 4)
    assert await found(servers, "gala", PERSON) == ["0-10"]
    listed = await servers.indexer.ListErasures(erasures_pb2.ListErasuresRequest())
    kinds = [(each.kind, each.photos, each.faces) for each in listed.erasures]
    assert kinds == [(erasures_pb2.ERASURE_KIND_EXPIRY, 12, 48)]


@pytest.mark.parametrize("promoted", [False, True])
async def test_the_job_removes_rows_and_files(
    database: Any, postgres: Any, vision: Any, serving: Any, owner: asyncpg.Connection,
    promoted: bool,
) -> None:  # fmt: skip
    folder = Path(postgres.data_dir)
    templates = templates_of([PERSON], range(3))
    # Templates in the files as the engine makes them, to be looked for.
    as_made = {"templates": TemplateSettings()}
    async with serving(database.settings, vision, indexer_settings=NEVER, **as_made) as servers:
        await fill(servers, "gala")
        if promoted:
            await optimize(servers, "gala")
    await expire(owner, "gala")
    assert hits_in_files(folder, templates)
    async with serving(database.settings, vision, indexer_settings=SOON) as servers:
        async with asyncio.timeout(60):
            while True:
                listed = await servers.indexer.ListErasures(erasures_pb2.ListErasuresRequest())
                if listed.erasures and listed.erasures[0].HasField("physical_time"):
                    break
                await asyncio.sleep(0.1)
        (told,) = listed.erasures
        assert (told.kind, told.faces) == (erasures_pb2.ERASURE_KIND_EXPIRY, 48)
    assert await rows_of(owner, "gala") == {}
    assert hits_in_files(folder, templates) == {}


async def test_two_jobs_killed_half_way_go_on(
    servers: Any, database: Any, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexer.erasure.event_removal_repository._AT_A_TIME", 5)
    for event in ("gala", "ball"):
        await fill(servers, event)
        await expire(owner, event)
    async with open_database(database.settings) as pool:
        jobs = [ExpiredEvents(pool, EventReader(PackRegistry())) for _ in range(3)]
        first = await jobs[0].remove_some()
        assert first is not None and not first[1]
        # The first is killed here; two others go on side by side.
        ended: list[EventName] = []

        async def work(job: ExpiredEvents) -> None:
            while (step := await job.remove_some()) is not None:
                if step[1]:
                    ended.append(step[0])

        await asyncio.gather(work(jobs[1]), work(jobs[2]))
    assert sorted(ended, key=str) == [EventName("ball"), EventName("gala")]
    assert await rows_of(owner, "gala") == await rows_of(owner, "ball") == {}
    listed = await servers.indexer.ListErasures(erasures_pb2.ListErasuresRequest())
    assert [(each.photos, each.faces) for each in listed.erasures] == [(12, 48), (12, 48)]
