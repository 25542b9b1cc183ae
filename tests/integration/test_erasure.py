"""What is erased is gone: from searches, from Searchers' memory and from the database's files; and
a receipt says when."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import pytest
from erasing import hits_in_files, physically_gone, receipt, templates_of
from facepass.errors import from_rpc_error
from facepass.v1 import erasures_pb2, events_pb2, indexer_pb2, searcher_pb2, types_pb2
from google.longrunning import operations_pb2, operations_pb2_grpc
from google.protobuf import duration_pb2
from large_events import create, fill, found, indexing, optimize, put, search

from common.config import TemplateSettings
from common.vision.fake.engine import FakeEngine
from common.vision.fake.photos import fake_photo
from indexer.config import ErasureSettings, RetentionSettings

SOON = indexing().model_copy(
    update={
        "erasure": ErasureSettings(interval_s=0.2, backup_retention_days=30),
        "retention": RetentionSettings(interval_s=0.2),
    }
)
REBUILDING = indexing(quiet_s=0).model_copy(
    update={"erasure": SOON.erasure, "retention": SOON.retention}
)
GONE, STAYS = 10, 11
AS_MADE = TemplateSettings()
"""Templates in the files as the engine makes them, to be looked for."""


@pytest.fixture
async def servers(database: Any, vision: Any, serving: Any) -> AsyncIterator[Any]:
    async with serving(database.settings, vision, indexer_settings=SOON) as running:
        yield running


def erase(servers: Any, event: str, **fields: Any) -> Any:
    request = erasures_pb2.ErasePersonRequest(event=f"events/{event}", **fields)
    return servers.indexer.ErasePerson(request)


def receipt_of(operation: Any) -> erasures_pb2.Erasure:
    told = erasures_pb2.ErasePersonMetadata()
    assert operation.metadata.Unpack(told)
    return told.erasure


async def faces_of(servers: Any, event: str, person: int) -> list[str]:
    """Names of the faces of a person, by a search."""
    answer = await search(servers, event, person, group_by=searcher_pb2.GROUP_BY_FACE)
    return [match.face.name for match in answer.matches]


async def refused(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), from_rpc_error(caught.value).reason


@pytest.mark.parametrize("promoted", [False, True])
async def test_a_person_is_erased_by_a_selfie(servers: Any, promoted: bool) -> None:
    await fill(servers, "gala")
    if promoted:
        await optimize(servers, "gala")
    names = await faces_of(servers, "gala", GONE)
    assert len(names) == 3
    photos = len(await found(servers, "gala", GONE))
    operation = await erase(servers, "gala", image=fake_photo([GONE], shot=5))
    told = receipt_of(operation)
    assert (told.kind, told.faces, told.photos) == (erasures_pb2.ERASURE_KIND_PERSON, 3, 0)
    assert told.HasField("live_time") and told.event == "events/gala"
    ordered = sorted(names, key=lambda name: int(name.rpartition("/")[2]))
    assert told.digest == hashlib.sha256("".join(f"{n}\n" for n in ordered).encode()).digest()
    assert await found(servers, "gala", GONE) == []
    assert len(await found(servers, "gala", STAYS)) == photos
    event = await servers.events.GetEvent(events_pb2.GetEventRequest(name="events/gala"))
    assert event.event.counts.faces == 45 and event.event.counts.photos_indexed == 12


async def test_a_person_is_erased_by_a_face(servers: Any) -> None:
    await fill(servers, "gala")
    names = await faces_of(servers, "gala", GONE)
    preview = await erase(servers, "gala", face=names[0], validate_only=True)
    response = erasures_pb2.ErasePersonResponse()
    assert preview.done and preview.response.Unpack(response)
    assert {face.face for face in response.faces} == set(names)
    assert response.erasure.faces == 3 and response.erasure.name == ""
    assert response.min_similarity == FakeEngine().pack.confident_similarity
    assert len(await found(servers, "gala", GONE)) == 3
    await erase(servers, "gala", face=names[0])
    assert await found(servers, "gala", GONE) == []
    assert await refused(erase(servers, "gala", face=names[0])) == (
        grpc.StatusCode.NOT_FOUND,
        "FACE_NOT_FOUND",
    )


async def test_a_selfie_that_may_mean_somebody_else_erases_nobody(servers: Any) -> None:
    await fill(servers, "gala")
    invalid = (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT")
    two = fake_photo([GONE, STAYS])
    assert await refused(erase(servers, "gala", image=two)) == invalid
    assert await refused(erase(servers, "gala", image=fake_photo([]))) == invalid
    assert await refused(erase(servers, "gala", image=two, face_index=2)) == invalid
    assert await refused(erase(servers, "gala")) == invalid
    assert await refused(erase(servers, "gala", image=two, min_similarity=2)) == invalid
    other = "events/other/photos/a/faces/1"
    assert await refused(erase(servers, "gala", face=other)) == invalid
    assert len(await found(servers, "gala", GONE)) == len(await found(servers, "gala", STAYS)) == 3
    await erase(servers, "gala", image=two, face_index=1)
    assert len(await found(servers, "gala", GONE)) == 3
    assert await found(servers, "gala", STAYS) == []


async def test_every_deletion_has_a_receipt(servers: Any) -> None:
    await fill(servers, "gala")
    photo = await servers.indexer.DeletePhoto(
        indexer_pb2.DeletePhotoRequest(name="events/gala/photos/0-10")
    )
    face_name = (await faces_of(servers, "gala", STAYS))[0]
    face = await servers.indexer.DeleteFace(indexer_pb2.DeleteFaceRequest(name=face_name))
    event = await servers.events.DeleteEvent(events_pb2.DeleteEventRequest(name="events/gala"))
    for name, kind, photos, faces in (
        (photo.erasure, erasures_pb2.ERASURE_KIND_PHOTO, 1, 4),
        (face.erasure, erasures_pb2.ERASURE_KIND_FACE, 0, 1),
        (event.erasure, erasures_pb2.ERASURE_KIND_EVENT, 11, 43),
    ):
        told = await receipt(servers, name)
        assert (told.kind, told.photos, told.faces) == (kind, photos, faces)
        assert told.HasField("live_time")
        gone = await physically_gone(servers, name)
        kept_for = gone.backup_time.ToDatetime() - gone.physical_time.ToDatetime()
        assert kept_for == timedelta(days=30)
    request = erasures_pb2.ListErasuresRequest(event="events/gala", page_size=2)
    first = await servers.indexer.ListErasures(request)
    request.page_token = first.next_page_token
    second = await servers.indexer.ListErasures(request)
    listed = [each.name for page in (first, second) for each in page.erasures]
    assert listed == [event.erasure, face.erasure, photo.erasure]
    assert second.next_page_token == ""
    nobody = "erasures/00000000-0000-0000-0000-000000000000"
    assert (await refused(receipt(servers, nobody)))[1] == "ERASURE_NOT_FOUND"


async def test_validate_only_leaves_no_receipt(servers: Any) -> None:
    await fill(servers, "gala")
    request = indexer_pb2.DeletePhotoRequest(name="events/gala/photos/0-10", validate_only=True)
    assert (await servers.indexer.DeletePhoto(request)).erasure == ""
    await erase(servers, "gala", image=fake_photo([GONE]), validate_only=True)
    listed = await servers.indexer.ListErasures(erasures_pb2.ListErasuresRequest())
    assert list(listed.erasures) == []


async def test_the_operation_is_done_once_no_file_has_it(servers: Any) -> None:
    await fill(servers, "gala")
    operation = await erase(servers, "gala", image=fake_photo([GONE]))
    stub = operations_pb2_grpc.OperationsStub(servers.indexer_channel)
    done = await stub.WaitOperation(
        operations_pb2.WaitOperationRequest(name=operation.name), timeout=60
    )
    told = erasures_pb2.ErasePersonResponse()
    assert done.done and done.response.Unpack(told)
    assert told.erasure.HasField("physical_time")
    assert told.erasure == receipt_of(done) == await receipt(servers, receipt_of(operation).name)
    await stub.DeleteOperation(operations_pb2.DeleteOperationRequest(name=operation.name))
    assert await receipt(servers, told.erasure.name) == told.erasure


async def _in_shared_table(servers: Any) -> None:
    """Events whose faces stand in the shared table."""
    for event in ("gala", "ball", "party"):
        await fill(servers, event)


async def _in_own_tables(servers: Any) -> None:
    """The same with graphs."""
    for event in ("gala", "ball", "party"):
        await fill(servers, event)
        await optimize(servers, event)


async def _erase_each_way(servers: Any) -> list[str]:
    """Erase a person, a face and an event; returns the receipts."""
    person = receipt_of(await erase(servers, "gala", image=fake_photo([GONE])))
    names = await faces_of(servers, "ball", GONE)
    request = [indexer_pb2.DeleteFaceRequest(name=name) for name in names]
    faces = [(await servers.indexer.DeleteFace(each)).erasure for each in request]
    event = await servers.events.DeleteEvent(events_pb2.DeleteEventRequest(name="events/party"))
    return [person.name, *faces, event.erasure]


@pytest.mark.parametrize(
    ("filling", "settings"), [(_in_shared_table, SOON), (_in_own_tables, REBUILDING)]
)
async def test_no_file_has_what_was_erased(
    database: Any, postgres: Any, vision: Any, serving: Any, filling: Any, settings: Any
) -> None:
    folder = Path(postgres.data_dir)
    templates = templates_of([GONE], range(3))
    others = templates_of([STAYS], range(3))
    owner = await asyncpg.connect(database.owner_dsn)
    try:
        async with serving(
            database.settings, vision, indexer_settings=settings, templates=AS_MADE
        ) as servers:
            await filling(servers)
            assert hits_in_files(folder, templates)
            for name in await _erase_each_way(servers):
                await physically_gone(servers, name)
            assert hits_in_files(folder, templates) == {}
            assert hits_in_files(folder, others)
            for event in ("gala", "ball"):
                assert len(await found(servers, event, STAYS)) == 3
        assert await owner.fetchval("SELECT count(*) FROM face WHERE event_id < 0") == 0
        assert await owner.fetchval("SELECT count(*) FROM residue") == 0
    finally:
        await owner.close()


async def test_suppressed_people_are_left_out_until_it_ends(servers: Any, database: Any) -> None:
    await fill(servers, "gala")
    length = duration_pb2.Duration(seconds=3600)
    operation = await erase(servers, "gala", image=fake_photo([GONE]), suppress_for=length)
    assert receipt_of(operation).HasField("suppress_until")
    await put(servers, "gala", "later", [GONE, STAYS], 6)
    request = indexer_pb2.GetPhotoRequest(name="events/gala/photos/later")
    photo = (await servers.indexer.GetPhoto(request)).photo
    assert len(photo.faces) == 1
    reasons = [list(face.reasons) for face in photo.unindexed_faces]
    assert reasons == [[types_pb2.FACE_REASON_SUPPRESSED]]
    assert await found(servers, "gala", GONE) == []
    await create(servers, "other")
    await put(servers, "other", "later", [GONE], 6)
    assert await found(servers, "other", GONE) == ["later"]
    owner = await asyncpg.connect(database.owner_dsn)
    try:
        await owner.execute("UPDATE suppression SET until = now()")
        await put(servers, "gala", "after", [GONE], 6)
        assert await found(servers, "gala", GONE) == ["after"]
        for _ in range(100):
            if not await owner.fetchval("SELECT count(*) FROM suppression WHERE event_id > 0"):
                break
            await asyncio.sleep(0.1)
        assert await owner.fetchval("SELECT count(*) FROM suppression WHERE event_id > 0") == 0
    finally:
        await owner.close()
