"""What a search of an event in memory costs beyond its comparisons."""

from collections.abc import Callable
from functools import partial

import faiss
import numpy as np
from numpy.typing import NDArray

from bench.figures import Bar, Figure, Rounds, call_by_call, milliseconds, ratio
from bench.searches import CALLS_A_ROUND, Searches, of_round
from bench.stage import Stage
from bench.templates import DIMENSION, LIMIT, THRESHOLD, Templates
from common.template_rows import TemplateRows
from searcher.block import Block, Query

_BARS = {"5k": None, "50k": Bar("<=", 1.5), "200k": Bar("<=", 1.2)}
_ROUNDS = 7


def measure(stage: Stage, hot: Searches) -> list[Figure]:
    """A search less an empty call, over the bare library's search of the same templates."""
    faiss.omp_set_num_threads(1)
    return [figure for label, bar in _BARS.items() for figure in _event(stage, hot, label, bar)]


def _event(stage: Stage, hot: Searches, label: str, bar: Bar | None) -> list[Figure]:
    event, (probes, _) = stage.events[label], stage.views(label)
    templates = event.of(stage.population.templates)
    block, kept = _Block(templates), _kept(templates)

    def calls(number: int) -> list[list[Callable[[], object]]]:
        chosen = of_round(probes, number, CALLS_A_ROUND)
        return [
            [hot.call(event, probe) for probe in chosen],
            [hot.empty_call for _ in chosen],
            [partial(block.search, probe) for probe in chosen],
            [partial(kept.search, [Query(probe, THRESHOLD)]) for probe in chosen],
        ]

    ours, empty, bare, codes = call_by_call(stage.sizes.repeats(_ROUNDS), calls)
    net = Rounds([a - b for a, b in zip(ours.values, empty.values, strict=True)])
    what = f"event of {label} faces: search less empty call"
    above = Rounds([a - b for a, b in zip(net.values, bare.values, strict=True)])
    note = "empty call: the health check on the same port"
    return [
        ratio(f"overhead_{label}", f"{what}, / library", net, bare, bar, note),
        milliseconds(f"overhead_ms_{label}", f"{what}, less library", above),
        ratio(f"overhead_pass_{label}", f"{what}, / a bare pass over our bytes", net, codes),
        milliseconds(f"pass_ms_{label}", f"event of {label} faces: a bare pass", codes),
        milliseconds(f"library_ms_{label}", f"event of {label} faces: library", bare),
        milliseconds(f"empty_call_ms_{label}", f"event of {label} faces: empty call", empty),
    ]


class _Block:
    """Templates as half floats in faiss."""

    def __init__(self, templates: Templates) -> None:
        half, product = faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
        self._index = faiss.IndexScalarQuantizer(DIMENSION, half, product)
        self._index.add(np.ascontiguousarray(templates))

    def search(self, probe: NDArray[np.float32]) -> object:
        return self._index.search(probe[np.newaxis], LIMIT)


def _kept(templates: Templates) -> Block:
    """Templates as the Searcher keeps them: alone, it only tells who may be similar enough."""
    numbers = np.arange(1, len(templates) + 1, dtype=np.int32)
    block = Block(DIMENSION)
    block.append(TemplateRows(numbers, numbers, np.asarray(templates, dtype=np.float16)))
    return block
