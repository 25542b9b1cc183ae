"""Items are laid out over few batch sizes, all of them, in order, with little padding."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.vision.batches import Unfit, layout, padded, run_each, settled

SIZES = st.sets(st.integers(1, 64), min_size=1).map(sorted)


@given(st.integers(0, 500), SIZES)
def test_each_item_is_run_once_in_a_size_that_is_there(count: int, sizes: list[int]) -> None:
    batches = list(layout(count, sizes))
    assert [i for each in batches for i in range(each.start, each.stop)] == list(range(count))
    for each in batches:
        assert each.size in sizes
        assert 0 < each.stop - each.start <= each.size


@given(st.integers(0, 500), SIZES)
def test_less_than_half_of_what_is_run_is_padding(count: int, sizes: list[int]) -> None:
    places = sum(each.size for each in layout(count, [1, *sizes]))
    assert places < 2 * count or count == 0


def test_full_batches_first() -> None:
    assert [each.size for each in layout(400, [1, 4, 16, 64])] == [64] * 6 + [16]
    assert [each.size for each in layout(11, [1, 16])] == [16]
    assert [each.size for each in layout(3, [1, 16])] == [1, 1, 1]


def test_an_item_that_does_not_fit_is_left_out_alone() -> None:
    runs: list[list[int]] = []

    def run(items: object, size: int) -> list[int | Unfit]:
        assert isinstance(items, list)
        runs.append(items)
        return [Unfit("seven") if item == 7 else 10 * item for item in items]

    results = run_each([5, -1, 6, 7, 8], [1, 2, 4], lambda item: item > 0, run)
    assert runs == [[5, 6, 7, 8]]
    assert [r for r in results if not isinstance(r, Unfit)] == [50, 60, 80]
    assert isinstance(results[1], Unfit) and isinstance(results[3], Unfit)
    with pytest.raises(Unfit, match="shape"):
        settled(results)
    assert settled(results[:1]) == [50]


def test_padding_is_black() -> None:
    blob = np.ones((2, 3, 4, 4), np.float32)
    filled = padded(blob, 5)
    assert filled.shape == (5, 3, 4, 4)
    assert (filled[:2] == 1).all() and not filled[2:].any()
    assert padded(blob, 2) is blob
