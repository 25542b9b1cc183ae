"""Events' templates in spaces of their own: nothing changes for who has the key, and to who reads
the database alone, two events have nobody in common."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import numpy as np
import pytest
from facepass.errors import from_rpc_error
from facepass.v1 import erasures_pb2, events_pb2, indexer_pb2, searcher_pb2
from large_events import (
    GRAPH,
    NO_MEMORY,
    PEOPLE,
    SCAN,
    ask,
    create,
    fill,
    finished,
    found,
    found_of_all,
    indexing,
    optimize,
    put,
    search,
)
from numpy.typing import NDArray

from common.config import TemplateSettings
from common.db.codec import register_codecs
from common.names import EventName
from common.templates.keys import new_key
from common.vision.fake.engine import FakeEngine
from common.vision.fake.photos import fake_photo

PLAIN = TemplateSettings()
MISSING = (grpc.StatusCode.FAILED_PRECONDITION, "TEMPLATE_KEY_MISSING")


@pytest.fixture
async def owner(database: Any) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database.owner_dsn)
    await register_codecs(connection)
    yield connection
    await connection.close()


def keys(path: Path, *lines: str) -> TemplateSettings:
    path.write_text("\n".join(lines))
    return TemplateSettings(key_file=str(path))


async def stored(owner: asyncpg.Connection, event: str) -> NDArray[np.float32]:
    """(N, D): an event's templates as the table has them, by face number."""
    rows = await owner.fetch(
        "SELECT embedding FROM face WHERE event_id = $1 ORDER BY face_no", EventName(event).key
    )
    return np.stack([row["embedding"] for row in rows]).astype(np.float32)


async def refused(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), from_rpc_error(caught.value).reason


async def faces_by_photo(servers: Any, event: str) -> dict[str, str]:
    """Names of the faces of PEOPLE[0] by their photos."""
    answer = await search(servers, event, PEOPLE[0], group_by=searcher_pb2.GROUP_BY_FACE)
    return {m.photo.rpartition("/")[2]: m.face.name for m in answer.matches}


async def compared(servers: Any, left: Any, right: Any) -> Any:
    return await servers.searcher.CompareFaces(
        searcher_pb2.CompareFacesRequest(left=left, right=right)
    )


async def test_who_reads_the_database_alone_sees_two_events_of_strangers(
    database: Any, vision: Any, serving: Any, owner: asyncpg.Connection
) -> None:
    for events, templates in ((("gala", "ball"), {}), (("plain",), {"templates": PLAIN})):
        async with serving(database.settings, vision, **templates) as servers:
            for event in events:
                await fill(servers, event)
    gala, ball, plain = [await stored(owner, event) for event in ("gala", "ball", "plain")]
    by_chance = 6 / plain.shape[1] ** 0.5
    assert np.abs(gala @ ball.T).max() < by_chance
    assert np.abs(gala @ plain.T).max() < by_chance
    # Within an event, all are as like each other as before.
    assert np.allclose(gala @ gala.T, plain @ plain.T, atol=2e-3)
    assert np.allclose(ball @ ball.T, plain @ plain.T, atol=2e-3)


@pytest.mark.parametrize("source", [searcher_pb2.SEARCH_SOURCE_MEMORY, SCAN, GRAPH])
async def test_searches_answer_what_they_do_without(
    database: Any, vision: Any, serving: Any, source: Any
) -> None:
    hot = source == searcher_pb2.SEARCH_SOURCE_MEMORY
    more = {} if hot else {"searcher_settings": NO_MEMORY}
    answers = []
    for event, templates in (("rotated", None), ("plain", PLAIN)):
        chosen = more if templates is None else {**more, "templates": templates}
        async with serving(database.settings, vision, indexer_settings=indexing(), **chosen) as up:
            await fill(up, event)
            if source == GRAPH:
                await optimize(up, event)
            while (await search(up, event, PEOPLE[0])).source != source:
                assert hot
            answer = await search(up, event, PEOPLE[0], min_similarity=0.3)
            answers.append(
                [(m.photo.partition("/photos/")[2], m.similarity) for m in answer.matches]
            )
            exact = await search(up, event, PEOPLE[0], min_similarity=0.3, exact=True)
            assert list(exact.matches) == list(answer.matches)
    rotated, plain = answers
    assert len(rotated) >= 3
    assert dict(rotated) == pytest.approx(dict(plain), abs=2e-3)


async def test_an_event_of_before_the_key_works_beside(
    database: Any, vision: Any, serving: Any, owner: asyncpg.Connection
) -> None:
    async with serving(database.settings, vision, templates=PLAIN) as before:
        await fill(before, "gala")
    async with serving(database.settings, vision) as servers:
        await put(servers, "gala", "later", [PEOPLE[0]], 1)
        assert await found(servers, "gala", PEOPLE[0]) == ["0-10", "1-10", "2-10", "later"]
        await fill(servers, "ball")
        assert await found_of_all(servers, "ball") == {
            person: [each for each in photos if each != "later"]
            for person, photos in (await found_of_all(servers, "gala")).items()
        }
    rows = await owner.fetch("SELECT name, template_key IS NULL AS plain FROM event")
    assert {row["name"]: row["plain"] for row in rows} == {"gala": True, "ball": False}


async def test_faces_of_two_events_are_compared_and_searched_with(servers: Any) -> None:
    for event in ("gala", "ball"):
        await fill(servers, event)
    gala, ball = [await faces_by_photo(servers, event) for event in ("gala", "ball")]
    assert (
        await compared(servers, {"face": gala["0-10"]}, {"face": ball["0-10"]})
    ).similarity == pytest.approx(1.0, abs=2e-3)
    expected = FakeEngine().embedding(10, 0) @ FakeEngine().embedding(10, 2)
    for right in ({"face": ball["2-10"]}, {"image": fake_photo([10], shot=2)}):
        other = await compared(servers, {"face": gala["0-10"]}, right)
        assert other.similarity == pytest.approx(expected, abs=2e-3)
    probe = searcher_pb2.Probe(face=gala["0-10"])
    answer = await servers.searcher.Search(
        searcher_pb2.SearchRequest(event="events/gala", probes=[probe])
    )
    assert answer.matches[0].face.name == gala["0-10"]
    assert answer.matches[0].similarity == pytest.approx(1.0, abs=2e-3)


async def test_a_larger_event_is_promoted_erased_from_and_suppressed_in(
    database: Any, vision: Any, serving: Any, owner: asyncpg.Connection
) -> None:
    async with serving(database.settings, vision, indexer_settings=indexing()) as servers:
        await fill(servers, "gala")
        await optimize(servers, "gala")
        request = erasures_pb2.ErasePersonRequest(
            event="events/gala", image=fake_photo([PEOPLE[0]], shot=5)
        )
        request.suppress_for.FromSeconds(3600)
        await servers.indexer.ErasePerson(request)
        assert await found(servers, "gala", PEOPLE[0]) == []
        await put(servers, "gala", "later", [PEOPLE[0], PEOPLE[1]], 6)
        assert await found(servers, "gala", PEOPLE[0]) == []
        assert "later" in await found(servers, "gala", PEOPLE[1])
        (kept,) = await owner.fetch("SELECT embedding FROM suppression WHERE event_id > 0")
        selfie = FakeEngine().embedding(PEOPLE[0], 5)
        assert abs(float(kept["embedding"] @ selfie)) < 6 / len(selfie) ** 0.5


async def test_without_its_key_an_event_can_be_deleted_and_not_compared(
    database: Any, vision: Any, serving: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = new_key(), new_key()
    ours = keys(tmp_path / "ours", first)
    async with serving(database.settings, vision, templates=ours) as servers:
        await fill(servers, "gala")
        face = (await faces_by_photo(servers, "gala"))["0-10"]
    for there in (PLAIN, keys(tmp_path / "theirs", second)):
        caplog.clear()
        async with serving(
            database.settings, vision, indexer_settings=indexing(), templates=there
        ) as servers:
            said = [getattr(record, "action", "") for record in caplog.records]
            assert said.count("template_key_missing") == 2, "by each of the servers"
            assert await refused(search(servers, "gala", PEOPLE[0])) == MISSING
            selfie = searcher_pb2.Probe(image=fake_photo([PEOPLE[0]]))
            asked = searcher_pb2.SearchRequest(event="events/gala", probes=[selfie])
            assert await refused(servers.searcher.Search(asked)) == MISSING
            assert await refused(put(servers, "gala", "more", [PEOPLE[0]], 7)) == MISSING
            assert await refused(compared(servers, {"face": face}, {"face": face})) == MISSING
            erase = erasures_pb2.ErasePersonRequest(event="events/gala")
            erase.image = fake_photo([PEOPLE[0]], shot=5)
            assert await refused(servers.indexer.ErasePerson(erase)) == MISSING
            # What compares nothing with anything from outside goes on.
            await create(servers, "other")
            await put(servers, "other", "1", [PEOPLE[0]], 0)
            assert await found(servers, "other", PEOPLE[0]) == ["1"]
            await servers.events.DeleteEvent(events_pb2.DeleteEventRequest(name="events/other"))
            assert not (await finished(servers, (await ask(servers, "gala")).name)).HasField(
                "error"
            )
            photos = indexer_pb2.ListPhotosRequest(parent="events/gala")
            assert (await servers.indexer.ListPhotos(photos)).photos
    async with serving(
        database.settings, vision, templates=keys(tmp_path / "both", second, first)
    ) as servers:
        assert len(await found(servers, "gala", PEOPLE[0])) == 3
        assert (await faces_by_photo(servers, "gala"))["0-10"] == face
