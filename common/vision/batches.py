"""Items of a batch: over which sizes they are run, and how one that fails fails alone."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Item = TypeVar("Item")
Result = TypeVar("Result")
Number = TypeVar("Number", np.uint8, np.float32)


class Unfit(ValueError):
    """One item that a model does not take, or makes no numbers of."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Items `start` to `stop`, run in `size` places; those left over are padding."""

    start: int
    stop: int
    size: int


def layout(count: int, sizes: Sequence[int]) -> Iterator[Batch]:
    """Lay `count` items out over batches of the given sizes, which ascend.

    Full batches first, largest first. A larger batch is padded for the rest where that leaves less
    than half of it empty, or where there is no smaller one.
    """
    start = 0
    while start < count:
        left = count - start
        size = max((each for each in sizes if each <= left), default=sizes[0])
        above = next((each for each in sizes if each >= left), size)
        if 2 * left > above:
            size = above
        yield Batch(start, min(start + size, count), size)
        start += size


def run_each(
    items: Sequence[Item],
    sizes: Sequence[int],
    fits: Callable[[Item], bool],
    run: Callable[[Sequence[Item], int], Sequence[Result | Unfit]],
) -> list[Result | Unfit]:
    """The result of each item, in their order; those that do not fit are not run.

    run: is given items and the size of the batch to run them in, and returns a result for each.
    """
    results: list[Result | Unfit] = [Unfit("an image of another shape") for _ in items]
    fit = [i for i, item in enumerate(items) if fits(item)]
    for batch in layout(len(fit), sizes):
        places = fit[batch.start : batch.stop]
        for i, result in zip(places, run([items[i] for i in places], batch.size), strict=True):
            results[i] = result
    return results


def settled(results: Sequence[Result | Unfit]) -> list[Result]:
    """All results. Raises the first Unfit among them."""
    good: list[Result] = []
    for result in results:
        if isinstance(result, Unfit):
            raise result
        good.append(result)
    return good


def padded(blob: NDArray[Number], size: int) -> NDArray[Number]:
    """(size, ...): the blob, filled up with zeros."""
    if len(blob) == size:
        return blob
    empty = np.zeros((size - len(blob), *blob.shape[1:]), blob.dtype)
    return np.concatenate([blob, empty])
