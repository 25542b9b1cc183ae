"""Indexing over real sockets and a real database, with the fake engine."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
import pytest
from facepass.v1 import events_pb2, types_pb2
from facepass.v1 import indexer_pb2 as pb
from google.rpc import error_details_pb2

from common.vision.fake.photos import Command, fake_photo

EVENT = "events/gala"
INDEXED, DUPLICATE, REJECTED, FAILED = (
    types_pb2.PHOTO_STATE_INDEXED,
    types_pb2.PHOTO_STATE_DUPLICATE,
    types_pb2.PHOTO_STATE_REJECTED,
    types_pb2.PHOTO_STATE_FAILED,
)


@pytest.fixture
async def gala(servers: Any) -> Any:
    await servers.events.CreateEvent(events_pb2.CreateEventRequest(event_id="gala"))
    return servers


async def index(servers: Any, photo_id: str, content: bytes, **config: Any) -> pb.PhotoResult:
    response = await servers.indexer.IndexPhoto(
        pb.IndexPhotoRequest(
            config=pb.IndexPhotosConfig(event=EVENT, **config),
            photo=pb.PhotoHeader(photo_id=photo_id),
            content=content,
        )
    )
    return response.result  # type: ignore[no-any-return]


def reason(result: pb.PhotoResult) -> str:
    infos = []
    for detail in result.status.details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            infos.append(info.reason)
    assert len(infos) == 1
    return str(infos[0])


async def counts(servers: Any) -> events_pb2.EventCounts:
    response = await servers.events.GetEvent(events_pb2.GetEventRequest(name=EVENT))
    return response.event.counts  # type: ignore[no-any-return]


def messages(
    photos: Sequence[tuple[str, bytes]], chunk: int = 4096, **config: Any
) -> list[pb.IndexPhotosRequest]:
    """A whole stream's messages."""
    stream = [pb.IndexPhotosRequest(config=pb.IndexPhotosConfig(event=EVENT, **config))]
    for photo_id, content in photos:
        header = pb.PhotoHeader(
            photo_id=photo_id,
            content_length=len(content),
            sha256=hashlib.sha256(content).digest(),
        )
        stream.append(pb.IndexPhotosRequest(photo=header))
        pieces = [content[i : i + chunk] for i in range(0, len(content), chunk)]
        for i, piece in enumerate(pieces):
            last = i == len(pieces) - 1
            stream.append(pb.IndexPhotosRequest(chunk=pb.PhotoChunk(data=piece, last=last)))
    return stream


async def run(
    servers: Any, stream: Sequence[pb.IndexPhotosRequest]
) -> list[pb.IndexPhotosResponse]:
    call = servers.indexer.IndexPhotos(iter(stream))
    return [response async for response in call]


async def test_a_photo_is_indexed_with_its_faces_and_reasons(gala: Any) -> None:
    content = fake_photo([1, 2, 3], small=[3])
    result = await index(gala, "IMG_1.jpg", content)
    assert result.state == INDEXED
    photo = result.photo
    assert photo.name == f"{EVENT}/photos/IMG_1.jpg"
    assert (photo.width, photo.height, photo.size_bytes) == (640, 480, len(content))
    assert photo.sha256 == hashlib.sha256(content).digest()
    assert len(photo.faces) == 2
    areas = [f.detected.box.width * f.detected.box.height for f in photo.faces]
    assert areas == sorted(areas, reverse=True)
    assert photo.faces[0].name.startswith(f"{photo.name}/faces/")
    assert [list(f.reasons) for f in photo.unindexed_faces] == [[types_pb2.FACE_REASON_SMALL_BOX]]
    assert result.timings.detect_ms > 0

    stored = (await gala.indexer.GetPhoto(pb.GetPhotoRequest(name=photo.name))).photo
    assert stored == photo
    assert (await counts(gala)) == events_pb2.EventCounts(photos_indexed=1, faces=2)


async def test_the_same_bytes_again_repeat_the_first_result(gala: Any) -> None:
    content = fake_photo([1, 2])
    first = await index(gala, "a", content)
    again = await index(gala, "a", content, quality_filter=types_pb2.QUALITY_FILTER_HIGH)
    assert again.state == DUPLICATE
    assert again.photo == first.photo
    assert (await counts(gala)).faces == 2


async def test_other_bytes_under_a_taken_id_are_refused_or_replace(gala: Any) -> None:
    first = await index(gala, "a", fake_photo([1, 2]))
    conflict = await index(gala, "a", fake_photo([3]))
    assert conflict.state == REJECTED
    assert conflict.status.code == grpc.StatusCode.ALREADY_EXISTS.value[0]
    assert reason(conflict) == "PHOTO_ID_CONFLICT"
    stored = (await gala.indexer.GetPhoto(pb.GetPhotoRequest(name=first.photo.name))).photo
    assert stored == first.photo

    replaced = await index(gala, "a", fake_photo([3]), conflict_policy=pb.CONFLICT_POLICY_REPLACE)
    assert replaced.state == INDEXED
    assert (await counts(gala)) == events_pb2.EventCounts(photos_indexed=1, faces=1)
    broken = await index(gala, "a", b"no image", conflict_policy=pb.CONFLICT_POLICY_REPLACE)
    assert (broken.state, reason(broken)) == (REJECTED, "IMAGE_UNSUPPORTED")
    assert (await counts(gala)) == events_pb2.EventCounts(photos_indexed=1, faces=1)


async def test_a_rejected_photo_is_kept_with_its_reason_until_it_comes_right(gala: Any) -> None:
    content = fake_photo([1])
    for _ in range(2):
        rejected = await index(gala, "a", content[: len(content) // 2])
        assert (rejected.state, reason(rejected)) == (REJECTED, "IMAGE_TRUNCATED")
    assert (await counts(gala)) == events_pb2.EventCounts(photos_rejected=1)
    listed = (
        await gala.indexer.ListPhotos(pb.ListPhotosRequest(parent=EVENT, state=REJECTED))
    ).photos
    assert [(p.name, p.rejection_reason) for p in listed] == [
        (f"{EVENT}/photos/a", "IMAGE_TRUNCATED")
    ]
    assert (await index(gala, "a", content)).state == INDEXED
    assert (await counts(gala)) == events_pb2.EventCounts(photos_indexed=1, faces=1)


async def test_a_stream_answers_each_photo_once(gala: Any) -> None:
    photos = [(f"p{i}", fake_photo([i], shot=i % 10)) for i in range(20)]
    photos[3] = ("p3", b"rubbish")
    photos[7] = ("bad id/", photos[7][1])
    photos[9] = ("p8", photos[9][1])
    stream = messages(photos)
    responses = await run(gala, stream)
    assert sorted(r.sequence for r in responses) == list(range(20))
    by_sequence = {r.sequence: r.result for r in responses}
    assert (by_sequence[3].state, reason(by_sequence[3])) == (REJECTED, "IMAGE_UNSUPPORTED")
    assert (by_sequence[7].photo_id, reason(by_sequence[7])) == ("bad id/", "INVALID_ARGUMENT")
    eight = {by_sequence[8].state, by_sequence[9].state}
    assert eight == {INDEXED, REJECTED}
    assert (await counts(gala)).photos_indexed == 17

    again = await run(gala, stream)
    assert sum(r.result.state == DUPLICATE for r in again) == 17


async def test_a_stream_with_wrong_announcements_goes_on(gala: Any) -> None:
    good = fake_photo([1])
    config = pb.IndexPhotosRequest(config=pb.IndexPhotosConfig(event=EVENT))
    last = pb.IndexPhotosRequest(chunk=pb.PhotoChunk(data=good, last=True))
    part = pb.IndexPhotosRequest(chunk=pb.PhotoChunk(data=good[:100]))

    def header(photo_id: str, **fields: Any) -> pb.IndexPhotosRequest:
        return pb.IndexPhotosRequest(photo=pb.PhotoHeader(photo_id=photo_id, **fields))

    responses = await run(
        gala,
        [
            config,
            header("length", content_length=5),
            last,
            header("digest", sha256=bytes(32)),
            last,
            header("cut"),
            part,
            header("good"),
            part,
            pb.IndexPhotosRequest(chunk=pb.PhotoChunk(data=good[100:])),
            pb.IndexPhotosRequest(chunk=pb.PhotoChunk(last=True)),
            header("end"),
        ],
    )
    results = {r.result.photo_id: r.result for r in responses}
    assert results.pop("good").state == INDEXED
    assert {name: reason(result) for name, result in results.items()} == {
        "length": "CONTENT_MISMATCH",
        "digest": "CONTENT_MISMATCH",
        "cut": "INCOMPLETE_UPLOAD",
        "end": "INCOMPLETE_UPLOAD",
    }
    assert (await counts(gala)) == events_pb2.EventCounts(photos_indexed=1, faces=1)


@pytest.mark.parametrize(
    ("stream", "code", "field"),
    [
        ([], grpc.StatusCode.INVALID_ARGUMENT, "config"),
        (
            [pb.IndexPhotosRequest(photo=pb.PhotoHeader(photo_id="a"))],
            grpc.StatusCode.INVALID_ARGUMENT,
            "config",
        ),
        (
            [pb.IndexPhotosRequest(config=pb.IndexPhotosConfig(event="events/none"))],
            grpc.StatusCode.NOT_FOUND,
            "events/none",
        ),
        (
            [
                *messages([]),
                pb.IndexPhotosRequest(chunk=pb.PhotoChunk(data=b"x")),
            ],
            grpc.StatusCode.INVALID_ARGUMENT,
            "chunk",
        ),
        ([*messages([]), *messages([])], grpc.StatusCode.INVALID_ARGUMENT, "config"),
        ([*messages([]), pb.IndexPhotosRequest()], grpc.StatusCode.INVALID_ARGUMENT, "payload"),
    ],
)
async def test_a_stream_that_breaks_the_rules_is_ended(
    gala: Any, stream: list[pb.IndexPhotosRequest], code: grpc.StatusCode, field: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        await run(gala, stream)
    assert ended.value.code() is code
    assert field in (ended.value.details() or "")


async def test_a_crash_costs_one_photo(gala: Any) -> None:
    photos = [(f"p{i}", fake_photo([i])) for i in range(6)]
    photos[2] = ("p2", fake_photo([2], command=Command.CRASH))
    photos[4] = ("p4", fake_photo([4], command=Command.FAIL))
    results = {r.result.photo_id: r.result for r in await run(gala, messages(photos))}
    for crashed in ("p2", "p4"):
        result = results.pop(crashed)
        assert (result.state, reason(result)) == (FAILED, "PROCESSING_FAILED")
        assert "Traceback" not in result.status.message
    assert {result.state for result in results.values()} == {INDEXED}
    assert (await counts(gala)) == events_pb2.EventCounts(photos_indexed=4, faces=4)


async def test_pending_photos_are_told_while_they_are_worked_on(gala: Any) -> None:
    photos = [(f"p{i}", fake_photo([i], command=Command.SLOW)) for i in range(10)]
    upload = asyncio.create_task(run(gala, messages(photos)))
    pending = 0
    while not upload.done():
        pending = max(pending, (await counts(gala)).photos_pending)
        await asyncio.sleep(0.05)
    assert len(await upload) == 10
    assert 1 <= pending <= 8
    assert (await counts(gala)).photos_pending == 0


async def test_an_event_does_not_wait_for_all_that_another_has_sent(gala: Any) -> None:
    await gala.events.CreateEvent(events_pb2.CreateEventRequest(event_id="small"))
    content = fake_photo([1], command=Command.SLOW)
    uploads = [
        asyncio.create_task(run(gala, messages([(f"{stream}-{i}", content) for i in range(8)])))
        for stream in range(3)
    ]
    while (await counts(gala)).photos_pending < 16:
        pass
    one = pb.IndexPhotoRequest(
        config=pb.IndexPhotosConfig(event="events/small"),
        photo=pb.PhotoHeader(photo_id="one"),
        content=content,
    )
    assert (await gala.indexer.IndexPhoto(one)).result.state == INDEXED
    assert (await counts(gala)).photos_pending >= 8
    await asyncio.gather(*uploads)


async def test_a_slow_stage_makes_the_caller_wait(gala: Any) -> None:
    """No more is taken from the caller than the stream's photos in work and what fits the
    sockets."""
    sent = 0
    noise = 400_000
    body = fake_photo([1], command=Command.SLOW)

    async def requests() -> AsyncIterator[pb.IndexPhotosRequest]:
        nonlocal sent
        yield pb.IndexPhotosRequest(config=pb.IndexPhotosConfig(event=EVENT))
        for i in range(60):
            padded = body + bytes(noise)
            for message in messages([(f"p{i}", padded)], chunk=100_000)[1:]:
                yield message
            sent += 1

    call = gala.indexer.IndexPhotos(requests())
    first = await anext(aiter(call))
    assert first.result.state in (INDEXED, REJECTED)
    assert sent < 40
    call.cancel()


async def test_photos_are_listed_in_pages_and_deleted(gala: Any) -> None:
    await run(gala, messages([(f"p{i}", fake_photo([i, i + 50])) for i in range(5)]))
    names: list[str] = []
    token = ""
    while not names or token:
        page = await gala.indexer.ListPhotos(
            pb.ListPhotosRequest(parent=EVENT, page_size=2, page_token=token)
        )
        names += [photo.name for photo in page.photos]
        token = page.next_page_token
    assert sorted(names) == [f"{EVENT}/photos/p{i}" for i in range(5)]

    with pytest.raises(grpc.aio.AioRpcError) as other:
        token = (
            await gala.indexer.ListPhotos(pb.ListPhotosRequest(parent=EVENT, page_size=2))
        ).next_page_token
        await gala.indexer.ListPhotos(
            pb.ListPhotosRequest(parent=EVENT, page_token=token, state=INDEXED)
        )
    assert "page_token" in (other.value.details() or "")

    face = (await gala.indexer.GetPhoto(pb.GetPhotoRequest(name=names[0]))).photo.faces[0].name
    await gala.indexer.DeleteFace(pb.DeleteFaceRequest(name=face, validate_only=True))
    await gala.indexer.DeleteFace(pb.DeleteFaceRequest(name=face))
    with pytest.raises(grpc.aio.AioRpcError) as gone:
        await gala.indexer.DeleteFace(pb.DeleteFaceRequest(name=face))
    assert gone.value.code() is grpc.StatusCode.NOT_FOUND

    preview = await gala.indexer.DeletePhoto(
        pb.DeletePhotoRequest(name=names[1], validate_only=True)
    )
    assert preview.faces == 2
    assert (await gala.indexer.DeletePhoto(pb.DeletePhotoRequest(name=names[1]))).faces == 2
    for name in (names[1], f"{EVENT}/photos/never"):
        with pytest.raises(grpc.aio.AioRpcError) as missing:
            await gala.indexer.GetPhoto(pb.GetPhotoRequest(name=name))
        assert missing.value.code() is grpc.StatusCode.NOT_FOUND
    assert (await counts(gala)) == events_pb2.EventCounts(photos_indexed=4, faces=7)


async def test_many_streams_at_once_lose_and_double_nothing(gala: Any) -> None:
    photos = [(f"p{i}", fake_photo([i])) for i in range(12)]
    await asyncio.gather(*(run(gala, messages(photos)) for _ in range(3)))
    assert (await counts(gala)) == events_pb2.EventCounts(photos_indexed=12, faces=12)


async def test_an_event_deleted_during_a_stream_ends_it(gala: Any) -> None:
    started = asyncio.Event()

    async def requests() -> AsyncIterator[pb.IndexPhotosRequest]:
        for message in messages([("a", fake_photo([1]))]):
            yield message
        await started.wait()
        for message in messages([("b", fake_photo([2]))])[1:]:
            yield message

    call = gala.indexer.IndexPhotos(requests())
    responses = aiter(call)
    assert (await anext(responses)).result.state == INDEXED
    await gala.events.DeleteEvent(events_pb2.DeleteEventRequest(name=EVENT))
    await gala.events.CreateEvent(events_pb2.CreateEventRequest(event_id="gala"))
    started.set()
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        await anext(responses)
    assert ended.value.code() is grpc.StatusCode.NOT_FOUND
    assert (await counts(gala)) == events_pb2.EventCounts()


async def test_a_caller_may_cap_the_faces(gala: Any) -> None:
    result = await index(gala, "a", fake_photo([1, 2, 3]), max_faces=1)
    assert len(result.photo.faces) == 1
    reasons = [list(face.reasons) for face in result.photo.unindexed_faces]
    assert reasons == [[types_pb2.FACE_REASON_EXCEEDS_MAX_FACES]] * 2
