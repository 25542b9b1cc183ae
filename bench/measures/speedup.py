"""Searches of events in memory against B3."""

import statistics
from functools import partial
from time import perf_counter

from bench.baselines.b3 import GlobalGraph
from bench.figures import Bar, Figure, interleaved, milliseconds, ratio
from bench.searches import Searches, of_round, recall, time_of
from bench.stage import Stage

_BARS = {"5k": Bar(">=", 10), "500": Bar(">=", 20)}
_EF_SEARCHES = (40, 100, 200)
_CALLS_A_ROUND = 8
_ROUNDS = 7


def measure(stage: Stage, hot: Searches, graph: GlobalGraph) -> list[Figure]:
    """B3's time over ours, for an event of 1 % and one of 0.1 % of all faces."""
    return [
        figure for label, bar in _BARS.items() for figure in _event(stage, hot, graph, label, bar)
    ]


def _event(stage: Stage, hot: Searches, graph: GlobalGraph, label: str, bar: Bar) -> list[Figure]:
    event, (probes, _) = stage.events[label], stage.views(label)
    ef_search, share = stage.runner.run(_choose(stage, graph, label))

    def their_time(number: int) -> float:
        return stage.runner.run(_time(stage, graph, label, number))

    rounds = stage.sizes.repeats(_ROUNDS)
    theirs, ours = interleaved(rounds, their_time, partial(time_of, hot, event, probes))
    what = f"event of {label} faces"
    plan = stage.runner.run(graph.plan(event, probes[0]))
    note = f"B3 with ef_search {ef_search}, where it is fastest; by {plan}"
    return [
        ratio(f"speedup_vs_b3_{label}", f"{what}: B3 / ours", theirs, ours, bar, note),
        milliseconds(f"hot_ms_{label}", f"{what}: ours", ours),
        milliseconds(f"b3_ms_{label}", f"{what}: B3", theirs),
        Figure(f"recall_b3_{label}", f"{what}: recall of B3", share),
    ]


async def _choose(stage: Stage, graph: GlobalGraph, label: str) -> tuple[int, float]:
    """Let B3 search as widely as is fastest; its recall then is no more than ours, which is 1."""
    trials = []
    for ef_search in _EF_SEARCHES:
        await graph.widen(ef_search)
        trials.append((await _time(stage, graph, label, 0), ef_search))
    _, fastest = min(trials)
    await graph.widen(fastest)
    probes, wanted = stage.views(label)
    count = 4 * _CALLS_A_ROUND
    found = [await graph.search(stage.events[label], probe) for probe in probes[:count]]
    return fastest, recall(found, wanted[:count])


async def _time(stage: Stage, graph: GlobalGraph, label: str, number: int) -> float:
    times = []
    for probe in of_round(stage.views(label)[0], number, _CALLS_A_ROUND):
        started = perf_counter()
        await graph.search(stage.events[label], probe)
        times.append(perf_counter() - started)
    return statistics.median(times)
