"""Searches of one gallery at a time: each gets its own answer, of a pass that they share."""

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import numpy as np
import pytest
from numpy.typing import NDArray

from common.calibration import Calibration
from common.event import Event, EventCounts, EventFields, StoredPack
from common.names import EventName
from common.template_rows import TemplateRows
from common.templates.space import PlainSpace
from searcher import hot_gallery
from searcher.block import Block, Parts, Query
from searcher.found_faces import RememberedFace
from searcher.hot_gallery import Changes, HotGallery

D, PEOPLE, FACES = 64, 20, 2000
PACK = StoredPack(1, "test@00000000", D, 0.5, 0.7, Calibration(0.0, 0.1))
NOW = datetime.now(UTC)


def event() -> Event:
    return Event(
        EventName("gala"), uuid4(), EventFields(), EventCounts(), PACK, PlainSpace(), 1, 1,
        FACES + 1, 0, None, NOW, NOW,
    )  # fmt: skip


def people() -> NDArray[np.float32]:
    vectors = np.random.default_rng(1).standard_normal((PEOPLE, D))
    unit: NDArray[np.float64] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit.astype(np.float32)


def rows(first: int, count: int) -> TemplateRows:
    """Face n shows person n % PEOPLE."""
    numbers = np.arange(first, first + count, dtype=np.int32)
    return TemplateRows(numbers, numbers, people()[numbers % PEOPLE].astype(np.float16))


def numbers(found: Sequence[Sequence[int]]) -> list[int]:
    return sorted(number for some in found for number in some)


def of_person(person: int, count: int = FACES) -> list[int]:
    return [n for n in range(1, count + 1) if n % PEOPLE == person]


@pytest.fixture
def gallery(monkeypatch: pytest.MonkeyPatch) -> Iterator[HotGallery]:
    """One that is large enough for threads, of several pieces."""
    monkeypatch.setattr(hot_gallery, "INLINE_FACES", 0)
    monkeypatch.setattr("searcher.block.SEGMENT_FACES", 300)
    with ThreadPoolExecutor(2) as executor:
        filled = HotGallery(event(), executor)
        filled.extend(rows(1, FACES))
        yield filled


def query(person: int) -> Query:
    return Query(people()[person], 0.9)


async def test_each_search_gets_its_own_answer_of_few_passes(
    gallery: HotGallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    together: list[int] = []
    search_some = Block.search_some
    passes: list[Parts] = []

    def counted(self: Block, queries: Sequence[Query], parts: Parts) -> list[list[int]]:
        if not any(parts is each for each in passes):
            passes.append(parts)
            together.append(len(queries))
        return search_some(self, queries, parts)

    monkeypatch.setattr(Block, "search_some", counted)
    asked = [n % PEOPLE for n in range(60)]
    answers = await asyncio.gather(*(gallery.search([query(person)]) for person in asked))
    assert [numbers(answer) for answer in answers] == [of_person(person) for person in asked]
    assert sum(together) == len(asked)
    assert len(together) < len(asked) / 2


async def test_several_probes_of_a_search_are_answered_apart(gallery: HotGallery) -> None:
    one, other = await gallery.search([query(3), query(4)])
    assert numbers([one]) == of_person(3) and numbers([other]) == of_person(4)


async def test_who_goes_away_leaves_the_others_their_answer(gallery: HotGallery) -> None:
    searches = [asyncio.create_task(gallery.search([query(n % PEOPLE)])) for n in range(30)]
    await asyncio.sleep(0)
    for search in searches[::3]:
        search.cancel()
    answers = await asyncio.gather(*searches, return_exceptions=True)
    for n, answer in enumerate(answers):
        if n % 3:
            assert not isinstance(answer, BaseException)
            assert numbers(answer) == of_person(n % PEOPLE)
    assert numbers(await gallery.search([query(1)])) == of_person(1)


def face() -> RememberedFace:
    return RememberedFace(1, np.ones(D, dtype=np.float16), b"told")


def test_room_for_found_faces_grows_with_the_gallery(
    gallery: HotGallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    templates, first = gallery.size_bytes, face()
    gallery.remember({number: face() if number else first for number in range(FACES // 2)})
    assert gallery.found.get(0) is first
    monkeypatch.setattr(hot_gallery, "LEAST_BYTES", 0)
    gallery.remember({FACES: face()})
    assert gallery.found.get(0) is None and gallery.found.get(FACES) is not None
    assert 0.24 * templates < gallery.found.size_bytes <= 0.25 * templates


def test_nothing_is_remembered_in_a_gallery_that_was_wiped(gallery: HotGallery) -> None:
    first = face()
    gallery.remember({1: first})
    gallery.wipe_now()
    gallery.remember({2: face()})
    assert gallery.size_bytes == 0 and not first.template.any()


async def test_changes_wait_for_the_pass_under_way(gallery: HotGallery) -> None:
    searches = [asyncio.create_task(gallery.search([query(5)])) for _ in range(10)]
    await asyncio.sleep(0)
    stays, goes = face(), face()
    gallery.remember({5: stays, 6: goes})
    async with gallery.lock:
        later = replace(gallery.event, version=2, next_face_no=FACES + 101)
        gallery.apply(Changes(later, [rows(FACES + 1, 100)], of_person(6)))
    for answer in await asyncio.gather(*searches):
        assert set(numbers(answer)) >= set(of_person(5))
    assert numbers(await gallery.search([query(5)])) == of_person(5, FACES + 100)
    gone = set(of_person(6))
    assert numbers(await gallery.search([query(6)])) == [
        n for n in of_person(6, FACES + 100) if n not in gone
    ]
    assert gallery.faces == FACES + 100 - len(gone)
    assert gallery.event == later
    assert gallery.found.get(5) is stays
    assert gallery.found.get(6) is None and not goes.template.any()


async def test_a_pass_that_fails_is_everybodys_error_and_the_next_one_works(
    gallery: HotGallery,
) -> None:
    broken = Query(np.zeros(D - 1, dtype=np.float32), 0.9)
    searches = [asyncio.create_task(gallery.search([broken])) for _ in range(3)]
    for outcome in await asyncio.gather(*searches, return_exceptions=True):
        assert isinstance(outcome, Exception)
    assert numbers(await gallery.search([query(2)])) == of_person(2)


async def test_many_deletions_wear_a_gallery(
    gallery: HotGallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hot_gallery, "SEGMENT_FACES", 300)
    assert not gallery.worn
    async with gallery.lock:
        gallery.apply(Changes(gallery.event, (), list(range(1, FACES // 2))))
    assert gallery.worn
