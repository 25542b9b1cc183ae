"""A block in memory finds whoever is similar enough, whatever was added and removed, and hardly
anybody else."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from common.similarity import SLACK
from common.template_rows import TemplateRows
from searcher import block
from searcher.block import Block, Query, code_step

D = 16


def templates(rng: np.random.Generator, count: int) -> NDArray[np.float16]:
    """Unit vectors of few people, so that many are alike and some are equal."""
    people = rng.standard_normal((4, D))
    vectors = people[rng.integers(4, size=count)] + 0.2 * rng.integers(-1, 2, (count, D))
    unit: NDArray[np.float64] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit.astype(np.float16)


def rows(first: int, vectors: NDArray[np.float16]) -> TemplateRows:
    numbers = np.arange(first, first + len(vectors), dtype=np.int32)
    return TemplateRows(numbers, numbers // 3 + 1, vectors)


def similarity(probe: NDArray[np.float32], template: NDArray[np.float16]) -> float:
    """As told, in plain Python floats."""
    half = [float(value) for value in probe.astype(np.float16)]
    return round(sum(p * float(t) for p, t in zip(half, template, strict=True)), 4)


def check(found: list[int], faces: dict[int, NDArray[np.float16]], query: Query) -> None:
    """All that are similar enough, nobody twice, and who is not, by no more than the distance of
    two codes."""
    assert len(set(found)) == len(found) and set(found) <= faces.keys()
    there = {number: similarity(query.probe, template) for number, template in faces.items()}
    lowest = round(query.min_similarity, 4)
    assert set(found) >= {number for number, value in there.items() if value >= lowest}
    off = 2 * (SLACK + code_step(len(query.probe)) * len(query.probe) ** 0.5)
    assert all(there[number] >= lowest - off for number in found)


@settings(deadline=None, max_examples=100)
@given(
    seed=st.integers(0, 2**32 - 1),
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.integers(1, 300)),
            st.tuples(st.just("remove"), st.floats(0, 1)),
        ),
        max_size=8,
    ),
    thresholds=st.lists(
        st.sampled_from([1e-5, 0.1, 0.5, 0.9, 0.9999, 1.0]), min_size=1, max_size=3
    ),
)
def test_a_block_finds_what_brute_force_finds(
    seed: int, steps: list[tuple[str, float]], thresholds: list[float]
) -> None:
    rng = np.random.default_rng(seed)
    whole, following = Block(D), 1
    faces: dict[int, NDArray[np.float16]] = {}
    for kind, size in steps:
        if kind == "add":
            added = templates(rng, int(size))
            whole.append(rows(following, added))
            faces.update(enumerate(added, following))
            following += len(added)
        else:
            gone = [number for number in faces if rng.random() < size]
            whole.remove([*gone, following + 7])
            for number in gone:
                del faces[number]
    assert whole.faces == len(faces)
    queries = [Query(templates(rng, 1)[0].astype(np.float32), each) for each in thresholds]
    for found, query in zip(whole.search(queries), queries, strict=True):
        check(found, faces, query)


def test_a_block_of_several_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block, "SEGMENT_FACES", 50)
    rng = np.random.default_rng(1)
    vectors = templates(rng, 333)
    whole = Block(D)
    for start in range(0, 333, 70):
        whole.append(rows(1 + start, vectors[start : start + 70]))
    faces = dict(enumerate(vectors, 1))
    query = Query(vectors[7].astype(np.float32), 0.3)
    check(whole.search([query])[0], faces, query)
    whole.remove(list(range(40, 120)))
    for number in range(40, 120):
        del faces[number]
    check(whole.search([query])[0], faces, query)
    assert whole.rows == 333 and whole.faces == 253


def test_a_removed_template_is_overwritten() -> None:
    vectors = templates(np.random.default_rng(2), 10)
    whole = Block(D)
    whole.append(rows(1, vectors))
    codes = whole._segments[0]._codes
    decoded = (codes[4].astype(np.float64) - 128) * code_step(D)
    assert decoded == pytest.approx(vectors[4].astype(np.float64), abs=0.01)
    whole.remove([5])
    assert (whole._segments[0]._codes[4] == 128).all()


def test_memory_is_what_templates_need() -> None:
    whole = Block(512)
    count = 1000
    whole.append(rows(1, np.zeros((count, 512), dtype=np.float16)))
    assert whole.size_bytes == count * (512 + 4)


def test_an_empty_block_finds_nobody() -> None:
    query = Query(np.zeros(D, dtype=np.float32), 0.5)
    assert Block(D).search([query, query]) == [[], []]


@pytest.mark.parametrize("dimension", [16, 128, 512])
def test_numbers_of_any_size_are_found(dimension: int) -> None:
    """Templates with numbers that no code reaches; the block knows by how much they are off."""
    rng = np.random.default_rng(3)
    vectors = rng.standard_normal((200, dimension))
    vectors[::7, 5] += dimension**0.5
    unit = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
    whole, faces = Block(dimension), dict(enumerate(unit, 1))
    whole.append(rows(1, unit))
    for face_no, template in faces.items():
        for lowest in (0.3, 0.999):
            query = Query(template.astype(np.float32), lowest)
            wanted = {n for n, t in faces.items() if similarity(query.probe, t) >= lowest}
            found = set(whole.search([query])[0])
            assert found >= wanted and face_no in found


def test_hardly_anybody_is_found_who_is_not_similar_enough() -> None:
    rng = np.random.default_rng(4)
    vectors = rng.standard_normal((20_000, 512))
    unit = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
    whole = Block(512)
    whole.append(rows(1, unit))
    probe = unit[7].astype(np.float32)
    values = unit.astype(np.float32) @ probe
    lowest = float(np.sort(values)[-200])
    (found,) = whole.search([Query(probe, lowest)])
    assert 200 <= len(found) <= np.sum(values >= lowest - 0.035) < 1500
