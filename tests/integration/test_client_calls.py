"""Every method of the client against real servers, in both kinds of code."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from facepass import (
    Aborted,
    AlreadyExists,
    AsyncClient,
    Client,
    InvalidArgument,
    NotFound,
    PhotoSource,
    Unavailable,
)
from facepass.v1 import searcher_pb2, types_pb2

from common.vision.fake.photos import fake_photo

ANN, BEN = 7, 300


@pytest.fixture
async def client(servers: Any) -> AsyncIterator[AsyncClient]:
    addresses = {"indexer": servers.indexer_address, "searcher": servers.searcher_address}
    async with AsyncClient(**addresses) as made:
        yield made


@pytest.fixture
async def party(client: AsyncClient) -> str:
    """An event with Ann in two photos, one of them with Ben."""
    await client.create_event("party")
    photos = [
        PhotoSource("one", fake_photo([ANN], shot=1), file_name="one.jpg"),
        PhotoSource("both", fake_photo([ANN, BEN], shot=2), source_uri="file:///both.jpg"),
        PhotoSource("empty", fake_photo()),
    ]
    for photo in photos:
        result = await client.index_photo("party", photo)
        assert result.state == types_pb2.PHOTO_STATE_INDEXED
    return "party"


async def test_an_event_lives_and_dies(client: AsyncClient) -> None:
    start = datetime(2026, 6, 1, 18, tzinfo=UTC)
    made = await client.create_event(
        "party", display_name="Party", start_time=start, ttl=timedelta(days=3), min_similarity=0.4
    )
    assert made.name == "events/party"
    assert made.settings.min_similarity == pytest.approx(0.4)
    assert made.HasField("expire_time")
    with pytest.raises(AlreadyExists) as taken:
        await client.create_event("party")
    assert taken.value.reason == "EVENT_ALREADY_EXISTS"

    changed = await client.update_event("party", etag=made.etag, location="Lake", start_time=None)
    assert (changed.display_name, changed.location) == ("Party", "Lake")
    assert not changed.HasField("start_time")
    with pytest.raises(Aborted):
        await client.update_event("party", etag=made.etag, location="Sea")

    assert await client.get_event("party") == await client.get_event_by_uid(made.uid)
    await client.create_event("alps")
    assert [e.name async for e in client.list_events()] == ["events/alps", "events/party"]

    await client.delete_event("party", validate_only=True)
    await client.delete_event("party", etag=changed.etag)
    with pytest.raises(NotFound) as gone:
        await client.get_event("party")
    assert gone.value.reason == "EVENT_NOT_FOUND"


async def test_a_malformed_id_names_its_field(client: AsyncClient) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await client.create_event("No Such Id")
    assert [field for field, _ in refused.value.violations] == ["event_id"]


async def test_photos_are_read_listed_and_deleted(client: AsyncClient, party: str) -> None:
    photo = await client.get_photo(party, "both")
    assert [photo async for photo in client.list_photos(party)][1] == photo
    assert (photo.source_uri, len(photo.faces)) == ("file:///both.jpg", 2)

    await client.delete_face(photo.faces[0].name, validate_only=True)
    await client.delete_face(photo.faces[0].name)
    assert len((await client.get_photo(party, photo.name)).faces) == 1
    assert (await client.delete_photo(party, "both", validate_only=True)).faces == 1
    assert (await client.delete_photo(party, "both")).faces == 1
    with pytest.raises(NotFound) as gone:
        await client.get_photo(party, "both")
    assert gone.value.reason == "PHOTO_NOT_FOUND"


async def test_the_same_bytes_are_a_duplicate_and_others_a_conflict(
    client: AsyncClient, party: str
) -> None:
    again = await client.index_photo(party, PhotoSource("one", fake_photo([ANN], shot=1)))
    assert again.state == types_pb2.PHOTO_STATE_DUPLICATE
    other = PhotoSource("one", fake_photo([BEN]))
    assert (await client.index_photo(party, other)).state == types_pb2.PHOTO_STATE_REJECTED
    replaced = await client.index_photo(party, other, replace=True)
    assert replaced.state == types_pb2.PHOTO_STATE_INDEXED


async def test_every_kind_of_probe_finds_the_person(
    client: AsyncClient, party: str, tmp_path: Path
) -> None:
    selfie = tmp_path / "selfie.jpg"
    selfie.write_bytes(fake_photo([ANN], shot=3))
    answer = await client.search(party, selfie)
    assert {match.photo.rpartition("/")[2] for match in answer.matches} == {"one", "both"}
    assert answer.coverage.photos_indexed == 3
    assert answer.pack.startswith("fake")

    face = answer.matches[0].face.name
    by_face = await client.search(party, face)
    assert {match.photo for match in by_face.matches} == {m.photo for m in answer.matches}
    by_bytes = await client.search(party, selfie.read_bytes(), face, min_similarity=0.99)
    assert [match.face.name for match in by_bytes.matches] == [face]
    stranger = await client.search(party, fake_photo([900]))
    assert (stranger.total_matches, list(stranger.matches)) == (0, [])


async def test_pages_are_put_together(client: AsyncClient, party: str) -> None:
    face = (await client.get_photo(party, "one")).faces[0].name
    by_face = searcher_pb2.GROUP_BY_FACE
    every = await client.search(party, face, min_similarity=0.001, group_by=by_face)
    assert every.total_matches == len(every.matches) >= 2
    assert not every.next_page_token
    first = await client.search(party, face, min_similarity=0.001, group_by=by_face, limit=1)
    assert list(first.matches) == list(every.matches[:1])
    assert first.total_matches == every.total_matches

    found: list[searcher_pb2.Match] = []
    token = ""
    while True:
        page = await client.search_page(
            party,
            face,
            min_similarity=0.001,
            group_by=by_face,
            page_size=1,
            page_token=token,
        )
        found += page.matches
        token = page.next_page_token
        if not token:
            break
    assert found == list(every.matches)


async def test_a_threshold_by_strangers_to_expect(client: AsyncClient, party: str) -> None:
    selfie = fake_photo([ANN], shot=3)
    strict = await client.search(party, selfie, max_expected_false_matches=0.001, exact=True)
    assert strict.expected_false_matches == pytest.approx(0.001)
    assert (strict.exact, strict.coverage.version) == (True, 3)
    assert strict.source in (searcher_pb2.SEARCH_SOURCE_SCAN, searcher_pb2.SEARCH_SOURCE_MEMORY)
    loose = await client.search_page(party, selfie, max_expected_false_matches=0.1)
    assert loose.min_similarity < strict.min_similarity
    with pytest.raises(InvalidArgument) as refused:
        await client.search(party, selfie, max_expected_false_matches=0.0)
    assert [field for field, _ in refused.value.violations] == ["max_expected_false_matches"]


async def test_two_faces_are_compared(client: AsyncClient) -> None:
    same = await client.compare_faces(fake_photo([ANN], shot=1), fake_photo([ANN], shot=2))
    assert same.tier == searcher_pb2.MATCH_TIER_CONFIDENT
    other = await client.compare_faces(fake_photo([ANN]), fake_photo([BEN]))
    assert other.similarity < other.min_similarity
    assert other.tier == searcher_pb2.MATCH_TIER_UNSPECIFIED


async def test_a_selfie_gets_advice(client: AsyncClient) -> None:
    assert (await client.evaluate_selfie(fake_photo([ANN]))).usable
    nobody = await client.evaluate_selfie(fake_photo())
    assert not nobody.usable
    assert list(nobody.probe.advice) == [searcher_pb2.SELFIE_ADVICE_NO_FACE]


async def test_what_is_no_image_is_an_error_of_the_field(client: AsyncClient) -> None:
    with pytest.raises(InvalidArgument):
        await client.evaluate_selfie(b"not an image")


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    async with AsyncClient(indexer="127.0.0.1:1") as client:
        with pytest.raises(Unavailable) as error:
            await client.get_event("party")
    assert error.value.reason == "UNAVAILABLE"


async def test_ordinary_code_does_the_same(servers: Any, tmp_path: Path) -> None:
    selfie = tmp_path / "selfie.jpg"
    selfie.write_bytes(fake_photo([ANN], shot=3))

    def evening() -> tuple[list[str], list[str], list[str]]:
        addresses = {"indexer": servers.indexer_address, "searcher": servers.searcher_address}
        with Client(**addresses) as client:
            client.create_event("party", display_name="Party")
            photos = (PhotoSource(f"p{n}", fake_photo([ANN], shot=n)) for n in range(3))
            results = list(client.index_photos("party", photos))
            found = client.search("party", selfie)
            events = [event.display_name for event in client.list_events()]
            with pytest.raises(NotFound):
                client.get_event("absent")
        client.close()  # a second time does nothing
        return (
            sorted(result.photo_id for result in results),
            sorted(match.photo.rpartition("/")[2] for match in found.matches),
            events,
        )

    everything = ["p0", "p1", "p2"]
    assert await asyncio.to_thread(evening) == (everything, everything, ["Party"])


def test_both_clients_have_the_same_methods() -> None:
    def public(cls: type) -> set[str]:
        return {name for name in dir(cls) if not name.startswith("_")}

    assert public(Client) == public(AsyncClient)
    assert Client.search.__doc__ == AsyncClient.search.__doc__
