"""Searching over real sockets and a real database, with the fake engine."""

import asyncio
from typing import Any

import grpc
import pytest
from facepass.v1 import events_pb2, indexer_pb2
from facepass.v1 import searcher_pb2 as pb

from common.vision.fake.engine import FakeEngine
from common.vision.fake.photos import Command, fake_photo

ALICE, BOB, CAROL = 10, 200, 400
PHOTOS = {
    "alice": fake_photo([ALICE], shot=1),
    "alice-bob": fake_photo([BOB, ALICE], shot=2),
    "alice-poor": fake_photo([ALICE], shot=13),
    "bob": fake_photo([BOB], shot=3),
    "nobody": fake_photo([], shot=4),
}


@pytest.fixture
async def gala(servers: Any) -> Any:
    """An event of five photos, and its twin under another name."""
    for event in ("gala", "twin"):
        await servers.events.CreateEvent(events_pb2.CreateEventRequest(event_id=event))
        for photo_id, content in PHOTOS.items():
            await put(servers, event, photo_id, content)
    return servers


async def put(servers: Any, event: str, photo_id: str, content: bytes) -> str:
    """Index one photo; returns the name of its first face, if any."""
    response = await servers.indexer.IndexPhoto(
        indexer_pb2.IndexPhotoRequest(
            config=indexer_pb2.IndexPhotosConfig(event=f"events/{event}"),
            photo=indexer_pb2.PhotoHeader(
                photo_id=photo_id,
                file_name=f"{photo_id}.jpg",
                source_uri=f"file:///{photo_id}.jpg",
                attributes={"camera": "1"},
            ),
            content=content,
        )
    )
    faces = response.result.photo.faces
    return str(faces[0].name) if faces else ""


async def search(servers: Any, *probes: pb.Probe, **fields: Any) -> pb.SearchResponse:
    request = pb.SearchRequest(event="events/gala", probes=probes, **fields)
    return await servers.searcher.Search(request)  # type: ignore[no-any-return]


def selfie(person: int, shot: int = 0) -> pb.Probe:
    return pb.Probe(image=fake_photo([person], shot=shot))


def photos(response: pb.SearchResponse) -> list[str]:
    return [match.photo.rpartition("/")[2] for match in response.matches]


async def test_a_selfie_finds_every_photo_of_the_guest_and_only_of_this_event(gala: Any) -> None:
    response = await search(gala, selfie(ALICE))
    assert {match.photo.split("/")[1] for match in response.matches} == {"gala"}
    assert set(photos(response)[:2]) == {"alice", "alice-bob"}
    assert photos(response)[2] == "alice-poor"
    similarities = [match.similarity for match in response.matches]
    assert similarities == sorted(similarities, reverse=True)
    assert [match.tier for match in response.matches] == [
        pb.MATCH_TIER_CONFIDENT,
        pb.MATCH_TIER_CONFIDENT,
        pb.MATCH_TIER_POSSIBLE,
    ]
    match = response.matches[0]
    assert match.file_name == f"{photos(response)[0]}.jpg"
    assert match.source_uri.startswith("file:///")
    assert dict(match.attributes) == {"camera": "1"}
    assert (match.photo_width, match.photo_height) == (640, 480)
    assert match.face.name.startswith(match.photo)
    assert response.total_matches == 3
    assert response.exact
    assert (response.min_similarity, response.confident_similarity) == (0.5, 0.75)
    coverage = response.coverage
    assert (coverage.photos_received, coverage.photos_indexed, coverage.faces) == (5, 5, 5)
    assert coverage.version == 5


async def test_face_and_embedding_probes_search_like_the_selfie(gala: Any) -> None:
    by_selfie = await search(gala, selfie(ALICE, shot=1))
    face = next(m.face.name for m in by_selfie.matches if m.photo.endswith("/alice"))
    by_face = await search(gala, pb.Probe(face=face))
    assert set(photos(by_face)) == set(photos(by_selfie))
    assert by_face.matches[0].photo.endswith("/alice")
    assert by_face.matches[0].similarity == pytest.approx(1.0, abs=1e-3)

    engine = FakeEngine()
    values = engine.embedding(ALICE, 1).tolist()
    probe = pb.Probe(embedding={"values": values, "pack": by_face.pack})
    assert photos(await search(gala, probe)) == photos(by_selfie)


async def test_several_probes_count_the_nearest(gala: Any) -> None:
    response = await search(gala, selfie(ALICE), selfie(BOB))
    assert set(photos(response)) == {"alice", "alice-bob", "alice-poor", "bob"}
    by_face = await search(gala, selfie(ALICE), selfie(BOB), group_by=pb.GROUP_BY_FACE)
    assert sorted(photos(by_face)) == ["alice", "alice-bob", "alice-bob", "alice-poor", "bob"]


async def test_the_threshold_is_the_callers_the_events_or_the_packs(gala: Any) -> None:
    assert set(photos(await search(gala, selfie(ALICE), min_similarity=0.8))) == {
        "alice",
        "alice-bob",
    }
    change = events_pb2.Event(name="events/gala", settings={"min_similarity": 0.7})
    await gala.events.UpdateEvent(events_pb2.UpdateEventRequest(event=change))
    response = await search(gala, selfie(ALICE))
    assert response.min_similarity == pytest.approx(0.7)
    assert len(response.matches) == 2
    assert len((await search(gala, selfie(ALICE), min_similarity=0.5)).matches) == 3


async def test_pages_stay_right_while_photos_arrive_and_go(gala: Any) -> None:
    for i in range(7):
        await put(gala, "gala", f"more{i}", fake_photo([ALICE], shot=i % 3))
    everything = photos(await search(gala, selfie(ALICE)))
    assert len(everything) == 10

    seen: list[str] = []
    token, size = "", 3
    for step in range(10):
        page = await search(gala, selfie(ALICE), page_size=size, page_token=token)
        seen += photos(page)
        token, size = page.next_page_token, 2
        await put(gala, "gala", f"late{step}", fake_photo([ALICE], shot=5))
        if not token:
            break
    assert [name for name in seen if not name.startswith("late")] == everything
    assert len(seen) == len(set(seen))

    with pytest.raises(grpc.aio.AioRpcError) as other:
        first = await search(gala, selfie(ALICE), page_size=1)
        await search(gala, selfie(BOB), page_token=first.next_page_token)
    assert other.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_page_token_ends_with_its_event(gala: Any) -> None:
    first = await search(gala, selfie(ALICE), page_size=1)
    assert first.next_page_token
    await gala.events.DeleteEvent(events_pb2.DeleteEventRequest(name="events/gala"))
    await gala.events.CreateEvent(events_pb2.CreateEventRequest(event_id="gala"))
    await put(gala, "gala", "alice", PHOTOS["alice"])
    with pytest.raises(grpc.aio.AioRpcError, match="deleted") as caught:
        await search(gala, selfie(ALICE), page_token=first.next_page_token)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_what_is_deleted_is_not_found(gala: Any) -> None:
    await gala.indexer.DeletePhoto(indexer_pb2.DeletePhotoRequest(name="events/gala/photos/alice"))
    response = await search(gala, selfie(ALICE))
    assert photos(response) == ["alice-bob", "alice-poor"]
    await gala.indexer.DeleteFace(indexer_pb2.DeleteFaceRequest(name=response.matches[0].face.name))
    assert photos(await search(gala, selfie(ALICE))) == ["alice-poor"]
    twin = pb.SearchRequest(event="events/twin", probes=[selfie(ALICE)])
    assert len((await gala.searcher.Search(twin)).matches) == 3


async def test_a_photo_is_found_as_soon_as_it_is_acknowledged(gala: Any) -> None:
    for i in range(10):
        await put(gala, "gala", f"new{i}", fake_photo([CAROL], shot=i))
        assert len((await search(gala, selfie(CAROL))).matches) == i + 1


async def test_an_unusable_selfie_is_an_answer(gala: Any) -> None:
    for content, advice in (
        (fake_photo([]), pb.SELFIE_ADVICE_NO_FACE),
        (fake_photo([ALICE], small=[ALICE]), pb.SELFIE_ADVICE_COME_CLOSER),
    ):
        response = await search(gala, pb.Probe(image=content))
        assert not response.matches
        assert not response.probes[0].usable
        assert list(response.probes[0].advice) == [advice]
        assert response.coverage.photos_indexed == 5
        evaluation = await gala.searcher.EvaluateSelfie(pb.EvaluateSelfieRequest(image=content))
        assert not evaluation.usable
        assert list(evaluation.probe.advice) == [advice]


async def test_in_a_group_selfie_the_largest_face_is_used_or_the_one_asked_for(gala: Any) -> None:
    group = fake_photo([BOB, ALICE])
    response = await search(gala, pb.Probe(image=group))
    assert set(photos(response)) == {"bob", "alice-bob"}
    probe = response.probes[0]
    assert (len(probe.faces), probe.face_index) == (2, 0)
    assert list(probe.advice) == [pb.SELFIE_ADVICE_SEVERAL_FACES]
    assert [len(face.reasons) for face in probe.faces] == [0, 1]

    chosen = await search(gala, pb.Probe(image=group, face_index=1))
    assert set(photos(chosen)) == {"alice", "alice-bob", "alice-poor"}
    assert not chosen.probes[0].advice
    with pytest.raises(grpc.aio.AioRpcError) as beyond:
        await search(gala, pb.Probe(image=group, face_index=2))
    assert "face_index" in (beyond.value.details() or "")

    alone = await gala.searcher.EvaluateSelfie(pb.EvaluateSelfieRequest(image=fake_photo([ALICE])))
    assert alone.usable and alone.probe.face_index == 0
    crowd = await gala.searcher.EvaluateSelfie(pb.EvaluateSelfieRequest(image=group))
    assert not crowd.usable


async def test_faces_are_compared_one_to_one(gala: Any) -> None:
    async def compare(left: pb.Probe, right: pb.Probe) -> pb.CompareFacesResponse:
        request = pb.CompareFacesRequest(left=left, right=right)
        return await gala.searcher.CompareFaces(request)  # type: ignore[no-any-return]

    same = await compare(selfie(ALICE), selfie(ALICE, shot=3))
    assert same.similarity > 0.75
    assert same.tier == pb.MATCH_TIER_CONFIDENT
    different = await compare(selfie(ALICE), selfie(BOB))
    assert different.similarity < 0.5
    assert different.tier == pb.MATCH_TIER_UNSPECIFIED
    nobody = await compare(selfie(ALICE), pb.Probe(image=fake_photo([])))
    assert not nobody.HasField("similarity")

    face = (await search(gala, selfie(ALICE))).matches[0].face.name
    twin = face.replace("events/gala", "events/twin")
    assert (await compare(pb.Probe(face=face), pb.Probe(face=twin))).similarity > 0.99
    values = FakeEngine().embedding(ALICE).tolist()
    embedding = pb.Probe(embedding={"values": values, "pack": same.pack})
    assert (await compare(embedding, pb.Probe(face=face))).tier == pb.MATCH_TIER_CONFIDENT


@pytest.mark.parametrize(
    ("request_message", "code", "words"),
    [
        (pb.SearchRequest(event="gala"), "INVALID_ARGUMENT", "probes"),
        (pb.SearchRequest(event="gala", probes=[selfie(1)]), "INVALID_ARGUMENT", "event"),
        (
            pb.SearchRequest(event="events/gala", probes=[pb.Probe()]),
            "INVALID_ARGUMENT",
            "probes[0]",
        ),
        (
            pb.SearchRequest(event="events/gala", probes=[selfie(1)], min_similarity=2),
            "INVALID_ARGUMENT",
            "min_similarity",
        ),
        (pb.SearchRequest(event="events/none", probes=[selfie(1)]), "NOT_FOUND", "events/none"),
        (
            pb.SearchRequest(event="events/gala", probes=[pb.Probe(image=b"GIF89a rubbish")]),
            "INVALID_ARGUMENT",
            "GIF",
        ),
        (
            pb.SearchRequest(
                event="events/gala", probes=[pb.Probe(face="events/gala/photos/x/faces/1")]
            ),
            "NOT_FOUND",
            "faces/1",
        ),
        (
            pb.SearchRequest(
                event="events/gala", probes=[pb.Probe(face="events/twin/photos/alice/faces/1")]
            ),
            "INVALID_ARGUMENT",
            "probes[0].face",
        ),
        (
            pb.SearchRequest(
                event="events/gala",
                probes=[pb.Probe(embedding={"values": [1.0], "pack": "other@00000000"})],
            ),
            "FAILED_PRECONDITION",
            "other@00000000",
        ),
        (
            pb.SearchRequest(
                event="events/gala",
                probes=[pb.Probe(embedding={"values": [1.0], "pack": "fake@0000001f"})],
            ),
            "INVALID_ARGUMENT",
            "62 numbers",
        ),
        (
            pb.SearchRequest(
                event="events/gala",
                probes=[pb.Probe(embedding={"values": [0.5] * 62, "pack": "fake@0000001f"})],
            ),
            "INVALID_ARGUMENT",
            "L2-normalised",
        ),
    ],
)
async def test_a_malformed_search_is_told_what_is_wrong(
    gala: Any, request_message: pb.SearchRequest, code: str, words: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await gala.searcher.Search(request_message)
    assert refused.value.code().name == code
    assert words in (refused.value.details() or "")


async def test_an_empty_event_answers_with_nothing(servers: Any) -> None:
    await servers.events.CreateEvent(events_pb2.CreateEventRequest(event_id="gala"))
    response = await search(servers, selfie(ALICE))
    assert not response.matches
    assert response.probes[0].usable
    assert response.coverage == pb.Coverage()


async def test_searches_at_once_all_get_their_own_answer(gala: Any) -> None:
    people = [ALICE, BOB] * 6
    answers = await asyncio.gather(*(search(gala, selfie(person)) for person in people))
    for person, answer in zip(people, answers, strict=True):
        assert len(answer.matches) == (3 if person == ALICE else 2)


async def test_a_selfie_does_not_wait_for_all_that_search_another_event(gala: Any) -> None:
    slow = pb.Probe(image=fake_photo([ALICE], command=Command.SLOW))
    loud = [asyncio.create_task(search(gala, slow)) for _ in range(12)]
    # Served once the first of the others is: they are all queued by then.
    await asyncio.wait(loud, return_when=asyncio.FIRST_COMPLETED)
    await gala.searcher.Search(pb.SearchRequest(event="events/twin", probes=[slow]))
    assert sum(each.done() for each in loud) <= 8
    await asyncio.gather(*loud)
