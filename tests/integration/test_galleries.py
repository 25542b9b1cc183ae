"""Galleries in memory: the same answers as the database's, fresh, bounded, shared."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any
from urllib.request import urlopen

import grpc
import pytest
from facepass.v1 import events_pb2, indexer_pb2
from facepass.v1 import searcher_pb2 as pb
from facepass.v1.searcher_pb2_grpc import SearcherStub
from prometheus_client.parser import text_string_to_metric_families

import searcher.app
from common.db.events import EventReader, PackRegistry
from common.db.opening import open_database
from common.metrics import Metrics
from common.names import EventName
from common.vision.fake.engine import FakeEngine
from common.vision.fake.photos import fake_photo
from searcher import repository
from searcher.config import GallerySettings, SearcherServerSettings, SearcherSettings
from searcher.galleries import Galleries
from searcher.template_repository import TemplateRepository

ANNA, BEN, CARA = 10, 200, 400
FACES = pb.GROUP_BY_FACE


async def put(servers: Any, event: str, photo_id: str, people: list[int], shot: int) -> str:
    """Index one photo; returns the name of its first face."""
    response = await servers.indexer.IndexPhoto(
        indexer_pb2.IndexPhotoRequest(
            config=indexer_pb2.IndexPhotosConfig(event=f"events/{event}"),
            photo=indexer_pb2.PhotoHeader(photo_id=photo_id),
            content=fake_photo(people, shot=shot),
        )
    )
    faces = response.result.photo.faces
    return str(faces[0].name) if faces else ""


async def new_event(servers: Any, event: str) -> None:
    await servers.events.CreateEvent(events_pb2.CreateEventRequest(event_id=event))


async def search(servers: Any, event: str, person: int, **fields: Any) -> pb.SearchResponse:
    values = FakeEngine().embedding(person, 0).tolist()
    probe = pb.Probe(embedding={"values": values, "pack": FakeEngine().pack.key})
    request = pb.SearchRequest(event=f"events/{event}", probes=[probe], **fields)
    return await servers.searcher.Search(request)  # type: ignore[no-any-return]


async def hot(servers: Any, event: str, person: int = ANNA) -> pb.SearchResponse:
    """Search until the answer comes from memory."""
    async with asyncio.timeout(20):
        while True:
            response = await search(servers, event, person)
            if response.source == pb.SEARCH_SOURCE_MEMORY:
                return response
            await asyncio.sleep(0.01)


def photos(response: pb.SearchResponse) -> list[str]:
    return [match.photo.rpartition("/")[2] for match in response.matches]


def with_memory(memory_bytes: int) -> SearcherSettings:
    return SearcherSettings(
        searcher=SearcherServerSettings(listen="127.0.0.1:0", metrics_listen="127.0.0.1:0"),
        gallery=GallerySettings(memory_bytes=memory_bytes),
    )


@pytest.fixture
async def gala(servers: Any) -> AsyncIterator[Any]:
    await new_event(servers, "gala")
    for shot in range(3):
        await put(servers, "gala", f"anna-{shot}", [ANNA], shot)
    await put(servers, "gala", "both", [ANNA, BEN], 4)
    yield servers


async def test_the_first_answer_comes_from_the_database_the_next_ones_from_memory(
    gala: Any,
) -> None:
    first = await search(gala, "gala", ANNA)
    assert first.source == pb.SEARCH_SOURCE_SCAN and first.exact
    second = await hot(gala, "gala")
    assert second.exact
    assert second.matches == first.matches
    assert second.coverage == first.coverage


async def test_memory_sees_what_was_acknowledged_before_the_search(gala: Any) -> None:
    await hot(gala, "gala")
    face = await put(gala, "gala", "late", [CARA], 1)
    response = await search(gala, "gala", CARA)
    assert response.source == pb.SEARCH_SOURCE_MEMORY
    assert photos(response) == ["late"]
    before = response.coverage.version

    await gala.indexer.DeleteFace(indexer_pb2.DeleteFaceRequest(name=face))
    response = await search(gala, "gala", CARA)
    assert response.source == pb.SEARCH_SOURCE_MEMORY
    assert photos(response) == []
    assert response.coverage.version == before + 1

    await gala.indexer.DeletePhoto(indexer_pb2.DeletePhotoRequest(name="events/gala/photos/anna-1"))
    assert "anna-1" not in photos(await search(gala, "gala", ANNA))


async def test_memory_goes_by_the_event_as_it_is_now(gala: Any) -> None:
    """Also by what of it is no matter of its faces."""
    known = await hot(gala, "gala")
    strict = {"name": "events/gala", "settings": {"min_similarity": 0.999}}
    await gala.events.UpdateEvent(events_pb2.UpdateEventRequest(event=strict))
    for _ in range(2):
        answer = await search(gala, "gala", ANNA)
        assert answer.source == pb.SEARCH_SOURCE_MEMORY
        assert answer.min_similarity == pytest.approx(0.999)
        assert len(answer.matches) < len(known.matches)

    await gala.indexer.IndexPhoto(
        indexer_pb2.IndexPhotoRequest(
            config=indexer_pb2.IndexPhotosConfig(event="events/gala"),
            photo=indexer_pb2.PhotoHeader(photo_id="broken"),
            content=b"GIF89a",
        )
    )
    answer = await search(gala, "gala", ANNA)
    assert answer.coverage.photos_rejected == known.coverage.photos_rejected + 1

    expiring = {"name": "events/gala", "ttl": {"nanos": 1_000_000}}
    await gala.events.UpdateEvent(events_pb2.UpdateEventRequest(event=expiring))
    await asyncio.sleep(0.01)
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await search(gala, "gala", ANNA)
    assert error.value.code() == grpc.StatusCode.NOT_FOUND


async def test_a_page_of_a_deleted_event_is_no_page_of_its_successor(gala: Any) -> None:
    """Memory still knows the old one: what it would say is not said."""
    await hot(gala, "gala")
    first = await search(gala, "gala", ANNA, page_size=1)
    await gala.events.DeleteEvent(events_pb2.DeleteEventRequest(name="events/gala"))
    await new_event(gala, "gala")
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await search(gala, "gala", ANNA, page_size=1, page_token=first.next_page_token)
    assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    for shot in range(3):
        await put(gala, "gala", f"again-{shot}", [ANNA], shot)
    token = (await search(gala, "gala", ANNA, page_size=1)).next_page_token
    second = await search(gala, "gala", ANNA, page_size=1, page_token=token)
    assert len(second.matches) == 1


async def test_a_name_created_again_is_another_event(gala: Any) -> None:
    await hot(gala, "gala")
    await gala.events.DeleteEvent(events_pb2.DeleteEventRequest(name="events/gala"))
    await new_event(gala, "gala")
    assert photos(await search(gala, "gala", ANNA)) == []
    await put(gala, "gala", "new", [BEN, ANNA], 2)
    assert photos(await hot(gala, "gala")) == ["new"]


async def test_searches_of_one_event_at_a_time_all_get_their_own_answer(gala: Any) -> None:
    await hot(gala, "gala")
    people = [ANNA, BEN, CARA] * 4
    answers = await asyncio.gather(*(search(gala, "gala", person) for person in people))
    for person, answer in zip(people, answers, strict=True):
        expected = {ANNA: {"anna-0", "anna-1", "anna-2", "both"}, BEN: {"both"}, CARA: set()}
        assert set(photos(answer)) == expected[person]


async def test_low_thresholds_answer_with_every_face(gala: Any) -> None:
    everything = partial(search, gala, "gala", ANNA, min_similarity=1e-6, group_by=FACES)
    scanned = await everything()
    await hot(gala, "gala")
    assert (await everything()).matches == scanned.matches
    # What was deleted leaves a gap in memory, which is similar to nobody.
    face = await put(gala, "gala", "late", [CARA], 1)
    await everything()
    await gala.indexer.DeleteFace(indexer_pb2.DeleteFaceRequest(name=face))
    assert (await everything()).matches == scanned.matches


async def test_many_matches_are_those_of_the_database(
    gala: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than are read with all that is told of them, in several statements and pages."""
    for first in (500, 600):
        await put(gala, "gala", f"crowd-{first}", list(range(first, first + 100)), 1)
    everything = partial(search, gala, "gala", ANNA, min_similarity=1e-6, group_by=FACES)
    scanned = await everything(page_size=1000)
    assert scanned.source == pb.SEARCH_SOURCE_SCAN and len(scanned.matches) > 80
    await hot(gala, "gala")
    monkeypatch.setattr(repository, "_TOLD_AT_ONCE", 10)
    monkeypatch.setattr(repository, "_COMPARED_AT_ONCE", 25)
    token, pages = "", list[pb.SearchResponse]()
    while token or not pages:
        page = await everything(page_size=30, page_token=token)
        assert page.source == pb.SEARCH_SOURCE_MEMORY
        assert page.total_matches == len(scanned.matches)
        pages.append(page)
        token = page.next_page_token
    assert [match for page in pages for match in page.matches] == list(scanned.matches)
    # What all pages have told is remembered.
    assert (await everything(page_size=1000)).matches == scanned.matches


async def test_events_take_turns_in_a_small_memory(
    database: Any, vision: Any, serving: Any
) -> None:
    dimension = FakeEngine().pack.dimension
    strangers = list(range(600, 700))
    of_one = 2 * (1 + len(strangers)) * (dimension + 4)
    of_found = of_one // 4  # at least what is remembered of two found faces
    async with serving(
        database.settings, vision, searcher_settings=with_memory(2 * (of_one + of_found))
    ) as servers:
        for event in ("one", "two", "three", "large"):
            await new_event(servers, event)
            for shot in range(2 if event != "large" else 6):
                await put(servers, event, f"{event}-{shot}", [ANNA, *strangers], shot)
        for event in ("one", "two", "three"):
            assert len((await hot(servers, event)).matches) == 2
        assert metric(servers, "facepass_gallery_events") == 2
        templates = 2 * of_one
        assert templates <= metric(servers, "facepass_gallery_bytes") <= templates + 2 * of_found
        assert metric(servers, "facepass_gallery_faces") == 4 * (1 + len(strangers))
        assert metric(servers, "facepass_gallery_evictions_total", reason="memory") == 1
        # The least recently used one had to go, and is filled again.
        assert (await search(servers, "two", ANNA)).source == pb.SEARCH_SOURCE_MEMORY
        assert (await search(servers, "one", ANNA)).source == pb.SEARCH_SOURCE_SCAN
        assert len((await hot(servers, "one")).matches) == 2
        # What never fits is searched in the database, always.
        for _ in range(3):
            answer = await search(servers, "large", ANNA)
            assert answer.source == pb.SEARCH_SOURCE_SCAN and len(answer.matches) == 6
        # One that outgrows the memory while it is there goes.
        for shot in range(2, 6):
            await put(servers, "one", f"one-{shot}", [ANNA, *strangers], shot)
        assert len((await search(servers, "one", ANNA)).matches) == 6
        assert len((await search(servers, "one", ANNA)).matches) == 6
        assert metric(servers, "facepass_gallery_bytes") <= 2 * (of_one + of_found)


async def test_no_memory_means_the_database(database: Any, vision: Any, serving: Any) -> None:
    async with serving(database.settings, vision, searcher_settings=with_memory(0)) as servers:
        await new_event(servers, "gala")
        await put(servers, "gala", "photo", [ANNA], 1)
        for _ in range(3):
            answer = await search(servers, "gala", ANNA)
            assert answer.source == pb.SEARCH_SOURCE_SCAN and photos(answer) == ["photo"]


async def test_deleted_and_expired_events_leave_the_memory(database: Any, servers: Any) -> None:
    """By themselves: nobody searches them any more."""
    names = [EventName(event) for event in ("stays", "expires", "goes")]
    for name in names:
        await new_event(servers, name.event)
        await put(servers, name.event, "photo", [ANNA], 1)
    async with open_database(database.settings) as pool:
        reader, metrics = EventReader(PackRegistry()), Metrics()
        repository = TemplateRepository(pool, pool, reader)
        galleries = Galleries(repository, GallerySettings(), metrics)
        async with galleries.running():
            for name in names:
                async with pool.snapshot() as connection:
                    galleries.get(await reader.get(connection, name))
            await galleries.settled()
            events = partial(metrics.registry.get_sample_value, "facepass_gallery_events")
            assert events() == 3
            await galleries.forget_deleted()
            assert events() == 3
            await servers.events.DeleteEvent(events_pb2.DeleteEventRequest(name="events/goes"))
            change = events_pb2.Event(name="events/expires", ttl={"nanos": 1_000_000})
            await servers.events.UpdateEvent(events_pb2.UpdateEventRequest(event=change))
            async with asyncio.timeout(20):
                while events() != 1:
                    await galleries.forget_deleted()
            assert metrics.registry.get_sample_value("facepass_gallery_faces") == 1


async def test_several_searchers_are_equally_fresh(
    database: Any, vision: Any, servers: Any, templates: Any
) -> None:
    """Each has its own memory; what one server acknowledged, all know at once."""
    settings = with_memory(10**8).model_copy(
        update={"database": database.settings, "templates": templates}
    )
    async with (
        searcher.app.running(settings, vision) as second,
        grpc.aio.insecure_channel(f"127.0.0.1:{second.port}") as channel,
    ):
        other = type("Other", (), {"searcher": SearcherStub(channel)})
        await new_event(servers, "gala")
        for shot in range(30):
            name = f"photo-{shot}"
            await put(servers, "gala", name, [ANNA], shot % 8)
            for asked in (servers, other):
                assert len((await search(asked, "gala", ANNA)).matches) == shot + 1
            if shot % 3 == 2:
                await servers.indexer.DeletePhoto(
                    indexer_pb2.DeletePhotoRequest(name=f"events/gala/photos/{name}")
                )
                for asked in (servers, other):
                    assert name not in photos(await search(asked, "gala", ANNA))
                await put(servers, "gala", name, [ANNA], shot % 8)


async def test_expected_false_matches_choose_the_threshold(gala: Any) -> None:
    loose = await search(gala, "gala", ANNA, max_expected_false_matches=1.0)
    strict = await search(gala, "gala", ANNA, max_expected_false_matches=1e-6)
    assert strict.min_similarity > loose.min_similarity
    assert loose.expected_false_matches == pytest.approx(1.0, rel=1e-3)
    assert strict.expected_false_matches == pytest.approx(1e-6, rel=1e-3)
    plain = await search(gala, "gala", ANNA)
    calibration = FakeEngine().pack.calibration
    assert plain.expected_false_matches == pytest.approx(
        calibration.expected_false_matches(plain.min_similarity, 5), rel=1e-4
    )


def metric(servers: Any, name: str, **labels: str) -> float:
    """Value of one of the Searcher's metrics."""
    url = f"http://127.0.0.1:{servers.searcher_server.metrics_port}/metrics"
    with urlopen(url) as page:
        text = page.read().decode()
    values = [
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    return float(sum(values))
