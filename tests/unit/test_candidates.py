"""Merging and paging candidates."""

from hypothesis import given
from hypothesis import strategies as st

from common.candidate import Candidate
from searcher.candidates import best_per_photo, nearest, page_of

candidates = st.lists(
    st.builds(
        lambda face, similarity: Candidate(face, face // 3, similarity),
        st.integers(1, 60),
        st.floats(0.3, 1.0),
    ),
    max_size=80,
)


@given(candidates)
def test_each_face_counts_with_its_nearest_probe(found: list[Candidate]) -> None:
    merged = nearest(found)
    assert len({c.face_no for c in merged}) == len(merged)
    for candidate in merged:
        same = [c.similarity for c in found if c.face_no == candidate.face_no]
        assert candidate.similarity == max(same)


@given(candidates)
def test_each_photo_counts_with_its_best_face(found: list[Candidate]) -> None:
    merged = nearest(found)
    photos = best_per_photo(merged)
    assert {c.photo_no for c in photos} == {c.photo_no for c in found}
    for candidate in photos:
        rivals = [c.position for c in merged if c.photo_no == candidate.photo_no]
        assert candidate.position == min(rivals)


@given(candidates, st.integers(1, 7))
def test_pages_are_the_whole_answer_in_order(found: list[Candidate], size: int) -> None:
    merged = nearest(found)
    seen: list[Candidate] = []
    after, more = None, True
    while more:
        page, more = page_of(merged, after, size)
        seen += page
        after = seen[-1].position if seen else None
        assert len(page) == size or not more
    assert seen == sorted(merged, key=lambda c: c.position)


@given(candidates, candidates, st.integers(1, 7))
def test_arrivals_between_pages_neither_repeat_nor_hide(
    before: list[Candidate], arriving: list[Candidate], size: int
) -> None:
    first = nearest(before)
    page, more = page_of(first, None, size)
    new = [Candidate(c.face_no + 1000, c.photo_no + 1000, c.similarity) for c in arriving]
    rest = list(page)
    while more:
        following, more = page_of([*first, *nearest(new)], rest[-1].position, size)
        rest += following
    known = [c for c in rest if c.face_no < 1000]
    assert known == sorted(first, key=lambda c: c.position)
    assert len({c.face_no for c in rest}) == len(rest)
