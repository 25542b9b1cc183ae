"""Events that are not in memory: searched in the shared table, or by a graph of their own."""

from functools import partial
from statistics import fmean

from facepass.v1 import searcher_pb2 as pb

from bench.figures import Bar, Figure, interleaved, median_time, milliseconds, ratio
from bench.searches import Searches, faces_of, of_round, recall, time_of
from bench.stage import Stage
from bench.templates import Templates, true_matches

_FASTER = {"50k": Bar(">=", 5), "200k": Bar(">=", 10)}
_EXACT_CALLS_A_ROUND = 5
_ROUNDS = 5
_GRAPH_PROBES = 500
"""What a graph misses are mostly whole people, one in hundreds."""


def measure_shared(stage: Stage, cold: Searches) -> list[Figure]:
    """Every event by a scan of its rows."""
    values, times = [], []
    rounds = stage.sizes.repeats(_ROUNDS)
    for label in stage.sizes.events:
        event, (probes, wanted) = stage.events[label], stage.views(label)
        some = slice(0, 20 if event.size > 20_000 else None)
        found = cold.found(event, probes[some], pb.SEARCH_SOURCE_SCAN)
        values.append(recall(found, wanted[some]))
        if event.size <= 20_000:
            (taken,) = interleaved(rounds, partial(time_of, cold, event, probes))
            name = f"event of {label} faces, not in memory"
            times.append(milliseconds(f"cold_ms_{label}", name, taken))
    spread = (min(values), max(values))
    name = "not in memory, shared table: recall"
    bar = Bar(">=", 1.0)
    return [Figure("recall_cold_shared", name, min(values), "", bar, spread), *times]


def measure_promoted(stage: Stage, cold: Searches) -> list[Figure]:
    """Events with a graph of their own, against the exact scan of the same event."""
    figures: list[Figure] = []
    rounds = stage.sizes.repeats(_ROUNDS)
    for label, bar in _FASTER.items():
        event, (probes, _) = stage.events[label], stage.views(label)
        many = stage.population.probes(label, stage.sizes.repeats(_GRAPH_PROBES))
        wanted = true_matches(event.of(stage.population.templates), many)
        answers = cold.answers(event, many)
        share = recall([faces_of(answer) for answer in answers], wanted)
        scanned = fmean(answer.source == pb.SEARCH_SOURCE_SCAN for answer in answers)
        strangers = stage.population.strangers(stage.sizes.probes)

        def exact_time(number: int, label: str = label) -> float:
            some = of_round(stage.views(label)[0], number, _EXACT_CALLS_A_ROUND)
            event = stage.events[label]
            return median_time([cold.call(event, probe, exact=True) for probe in some])

        def stranger_time(number: int, label: str = label, nobody: Templates = strangers) -> float:
            some = of_round(nobody, number, _EXACT_CALLS_A_ROUND)
            return median_time([cold.call(stage.events[label], probe) for probe in some])

        exact, graph, nobody = interleaved(
            rounds, exact_time, partial(time_of, cold, event, probes), stranger_time
        )
        what = f"event of {label} faces, own graph"
        enough, note = Bar(">=", 0.995), f"{len(many)} probes"
        figures += [
            Figure(f"recall_promoted_{label}", f"{what}: recall", share, "", enough, note=note),
            ratio(f"promoted_speedup_{label}", f"{what}: exact scan / graph", exact, graph, bar),
            milliseconds(f"promoted_ms_{label}", f"{what}", graph),
            milliseconds(f"exact_ms_{label}", f"{what}: exact scan", exact),
            Figure(f"scanned_{label}", f"{what}: probes for which it gave nothing", scanned),
            milliseconds(f"stranger_ms_{label}", f"{what}: who is in no photo", nobody),
        ]
    shares = [each.value for each in figures if each.key.startswith("recall_promoted")]
    name = "own graph: recall, the lowest of the events"
    return [Figure("recall_promoted", name, min(shares), "", Bar(">=", 0.995)), *figures]
