"""Searches of events in memory against B3."""

import statistics
from functools import partial
from time import perf_counter

from bench.baselines.b3 import GlobalGraph
from bench.figures import Bar, Figure, Rounds, interleaved, milliseconds, ratio
from bench.searches import Searches, of_round, recall, time_of
from bench.stage import Stage

_BARS = {"5k": Bar(">=", 10), "500": Bar(">=", 20)}
_EF_SEARCHES = (40, 100, 200)
_CALLS_A_ROUND = 8
_ROUNDS = 7


def measure(stage: Stage, hot: Searches, planned: GlobalGraph, forced: GlobalGraph) -> list[Figure]:
    """B3's time over ours, for an event of 1 % and one of 0.1 % of all faces: as Postgres plans its
    search, and by its graph where that is something else."""
    figures: list[Figure] = []
    for label, bar in _BARS.items():
        rivals = [_Rival(stage, planned, label)]
        if rivals[0].plan != "graph":
            rivals.append(_Rival(stage, forced, label))
        event, (probes, _) = stage.events[label], stage.views(label)
        ours, *theirs = interleaved(
            stage.sizes.repeats(_ROUNDS),
            partial(time_of, hot, event, probes),
            *(rival.time for rival in rivals),
        )
        figures += _figures(label, "", rivals[0], theirs[0], ours, bar)
        figures.append(milliseconds(f"hot_ms_{label}", f"event of {label} faces: ours", ours))
        if len(rivals) > 1:
            figures += _figures(label, "_graph", rivals[1], theirs[1], ours, None)
    return figures


class _Rival:
    """B3 as it searches one event: as widely as is fastest. Its recall is no more than ours, which
    is 1."""

    def __init__(self, stage: Stage, graph: GlobalGraph, label: str) -> None:
        self._stage = stage
        self._graph = graph
        self._event = stage.events[label]
        self._probes, self._wanted = stage.views(label)
        self.ef_search = min(_EF_SEARCHES, key=self._trial)
        stage.runner.run(graph.widen(self.ef_search))
        self.plan = stage.runner.run(graph.plan(self._event, self._probes[0]))
        self.recall = stage.runner.run(self._recall())

    def time(self, number: int) -> float:
        """Median seconds of the searches of one round."""
        return self._stage.runner.run(self._time(number))

    def _trial(self, ef_search: int) -> float:
        self._stage.runner.run(self._graph.widen(ef_search))
        return self.time(0)

    async def _time(self, number: int) -> float:
        times = []
        for probe in of_round(self._probes, number, _CALLS_A_ROUND):
            started = perf_counter()
            await self._graph.search(self._event, probe)
            times.append(perf_counter() - started)
        return statistics.median(times)

    async def _recall(self) -> float:
        count = 4 * _CALLS_A_ROUND
        found = [await self._graph.search(self._event, probe) for probe in self._probes[:count]]
        return recall(found, self._wanted[:count])


def _figures(
    label: str, kind: str, rival: _Rival, theirs: Rounds, ours: Rounds, bar: Bar | None
) -> list[Figure]:
    what = f"event of {label} faces"
    who = "B3 by its graph" if kind else "B3"
    note = f"by {rival.plan}; ef_search {rival.ef_search} is fastest"
    return [
        ratio(f"speedup_vs_b3{kind}_{label}", f"{what}: {who} / ours", theirs, ours, bar, note),
        milliseconds(f"b3{kind}_ms_{label}", f"{what}: {who}", theirs),
        Figure(f"recall_b3{kind}_{label}", f"{what}: recall of {who}", rival.recall),
    ]
