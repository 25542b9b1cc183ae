"""What the number of events costs the search of one."""

from functools import partial

from bench.figures import Bar, Figure, Rounds, interleaved, ratio
from bench.searches import Searches, time_of
from bench.stage import Stage

_LABEL = "500"
_ROUNDS = 15


def measure(
    stage: Stage, many: tuple[Searches, Searches], few: tuple[Searches, Searches]
) -> list[Figure]:
    """The same event and the same faces in all, among many and among few events; in memory and
    not."""
    event, (probes, _) = stage.events[_LABEL], stage.views(_LABEL)
    for each in (many[0], few[0]):
        each.warm(event, probes[0])
    rounds = stage.sizes.repeats(_ROUNDS)
    ratios = [
        _ratio(
            name, *interleaved(rounds, *(partial(time_of, each, event, probes) for each in pair))
        )
        for name, pair in (("in memory", (many[0], few[0])), ("not in memory", (many[1], few[1])))
    ]
    worse = max(ratios, key=lambda figure: figure.value)
    what = f"{stage.sizes.many:,} events / {stage.sizes.few}, event of {_LABEL} faces"
    bar = Bar("<=", 1.1)
    return [
        Figure("many_events_ratio", what, worse.value, "x", bar, worse.spread, "the worse of both"),
        *ratios,
    ]


def _ratio(name: str, many: Rounds, few: Rounds) -> Figure:
    key = "many_events_" + ("hot" if name == "in memory" else "cold")
    return ratio(key, f"many events / few, {name}", many, few)
