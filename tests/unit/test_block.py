"""A block in memory answers exactly, whatever was added and removed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from common.candidate import Candidate
from common.similarity import told
from common.template_rows import TemplateRows
from searcher import block
from searcher.block import Block, Query

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


def brute_force(
    faces: dict[int, NDArray[np.float16]], query: Query
) -> dict[int, tuple[int, float]]:
    """Photo number and similarity by face number, in plain Python floats."""
    probe = [float(value) for value in query.probe.astype(np.float16)]
    found = {}
    for face_no, template in faces.items():
        value = sum(p * float(t) for p, t in zip(probe, template, strict=True))
        if round(value, 4) >= round(query.min_similarity, 4):
            found[face_no] = (face_no // 3 + 1, round(value, 4))
    return found


def as_told(candidates: list[Candidate]) -> dict[int, tuple[int, float]]:
    assert len({c.face_no for c in candidates}) == len(candidates)
    return {c.face_no: (c.photo_no, told(c.similarity)) for c in candidates}


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
    found = whole.search(queries)
    assert [as_told(some) for some in found] == [brute_force(faces, query) for query in queries]


def test_a_block_of_several_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block, "SEGMENT_FACES", 50)
    rng = np.random.default_rng(1)
    vectors = templates(rng, 333)
    whole = Block(D)
    for start in range(0, 333, 70):
        whole.append(rows(1 + start, vectors[start : start + 70]))
    faces = dict(enumerate(vectors, 1))
    query = Query(vectors[7].astype(np.float32), 0.3)
    assert as_told(whole.search([query])[0]) == brute_force(faces, query)
    whole.remove(list(range(40, 120)))
    for number in range(40, 120):
        del faces[number]
    assert as_told(whole.search([query])[0]) == brute_force(faces, query)
    assert whole.rows == 333 and whole.faces == 253


def test_a_removed_template_is_overwritten() -> None:
    vectors = templates(np.random.default_rng(2), 10)
    whole = Block(D)
    whole.append(rows(1, vectors))
    memory = whole._segments[0]._templates
    assert (memory[4] == vectors[4]).all()
    whole.remove([5])
    assert not whole._segments[0]._templates[4].any()


def test_memory_is_what_templates_need() -> None:
    whole = Block(512)
    count = 1000
    whole.append(rows(1, np.zeros((count, 512), dtype=np.float16)))
    assert whole.size_bytes == count * (2 * 512 + 8)


def test_an_empty_block_finds_nobody() -> None:
    query = Query(np.zeros(D, dtype=np.float32), 0.5)
    assert Block(D).search([query, query]) == [[], []]
