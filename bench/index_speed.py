"""How fast photos are indexed: against B1, and against what the workers alone could do."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.figures import Bar, Figure, Rounds, of_rounds, ratio
from bench.ground import Server
from bench.index_child import Child
from bench.index_photos import PhotoSet
from bench.index_stage import IndexStage, Sent
from bench.stage_report import StageReport

_ROUNDS, _FEWER_ROUNDS = 5, 3
_SPEEDUP, _EFFICIENCY = Bar(">=", 2.0), Bar(">=", 0.85)


@dataclass(frozen=True, slots=True)
class Sides:
    """What is compared, all with one pack: our Indexer, B1, and one worker's stages alone."""

    server: Server
    baseline: Child
    alone: Child

    @classmethod
    def of(cls, stage: IndexStage, pack: Path | None = None) -> "Sides":
        """Start all three."""
        return cls(stage.indexer(pack), stage.baseline(pack), stage.alone(pack))


@dataclass(frozen=True, slots=True)
class Speeds:
    """Photos a second of each round. ideal: as many workers as cores that never wait."""

    photos: PhotoSet
    ours: Rounds
    theirs: Rounds
    ideal: Rounds
    report: StageReport

    def figures(self) -> list[Figure]:
        """Both ratios, and what they are made of."""
        name, label = self.photos.name, self.photos.label
        return [
            ratio(f"speedup_{name}", f"{label}: / B1", self.ours, self.theirs, _SPEEDUP),
            ratio(f"efficiency_{name}", f"{label}: / ideal", self.ours, self.ideal, _EFFICIENCY),
            *(
                of_rounds(f"{key}_per_s_{name}", f"{label}: photos/s, {who}", rounds.values, "")
                for key, who, rounds in (
                    ("photos", "FacePass", self.ours),
                    ("b1", "B1", self.theirs),
                    ("ideal", "ideal", self.ideal),
                )
            ),
        ]


def measure(stage: IndexStage, sides: Sides) -> list[Figure]:
    """All sets with the first pack; the overall figures first."""
    speeds = []
    for photos in stage.sets:
        stage.progress.say(f"speed: {photos.label}")
        speeds.append(_speeds(stage, sides, photos))
        print(f"{photos.label}:\n{speeds[-1].report.text()}\n")
    figures = [figure for each in speeds for figure in each.figures()]
    note = "geometric mean of the sets"
    return [
        _mean("speedup_vs_b1", "photos/s / B1", figures, "speedup_", _SPEEDUP, note),
        _mean("pipeline_efficiency", "photos/s / ideal", figures, "efficiency_", _EFFICIENCY, note),
        *figures,
    ]


def measure_other_packs(stage: IndexStage) -> list[Figure]:
    """The demo's event with each of the other packs."""
    figures = []
    for pack in stage.other_packs:
        stage.progress.say(f"speed: with {pack.name}")
        speeds = _speeds(stage, Sides.of(stage, pack), stage.demo, _FEWER_ROUNDS)
        label = f"{stage.demo.label}, pack {pack.name}"
        key = pack.name.partition("-")[0]
        figures += [
            ratio(f"speedup_demo_{key}", f"{label}: / B1", speeds.ours, speeds.theirs),
            ratio(f"efficiency_demo_{key}", f"{label}: / ideal", speeds.ours, speeds.ideal),
        ]
    return figures


def measure_scaling(stage: IndexStage, alone: Child) -> list[Figure]:
    """What the machine itself allows: a worker's stages on every core at once, over on one."""
    stage.progress.say("workers on all cores at once")
    all_at_once = [alone, *(stage.alone() for _ in range(stage.cores - 1))]
    files = stage.demo.files[:20]
    values = []
    for _ in range(stage.sizes.repeats(_ROUNDS)):
        one = _worked(alone.ask(do="stages", photos=files))
        for each in all_at_once:
            each.send(do="stages", photos=files)
        each_s = [_worked(each.receive()) for each in all_at_once]
        values.append(one / statistics.mean(each_s))
    note = "stages alone on each core at once, no servers; below 1 the machine itself is the limit"
    return [of_rounds("core_scaling", "speed of a core while all are busy", values, "x", note=note)]


def _speeds(
    stage: IndexStage, sides: Sides, photos: PhotoSet, rounds_wanted: int = _ROUNDS
) -> Speeds:
    """By turns, each for about as long as ours takes for its sample."""
    files = list(photos.files)
    first, theirs_first = stage.send(sides.server, files), _baseline(sides, files, 1)
    wanted_s = stage.sizes.seconds_a_sample
    sent: list[Sent] = []

    def ours(repeats: int) -> float:
        sent.append(stage.send(sides.server, files, repeats=repeats))
        return sent[-1].per_s

    def ideal(_: int) -> float:
        told = sides.alone.ask(do="stages", photos=files)
        return float(stage.cores * told["photos"] / _worked(told))

    samples: Sequence[Callable[[], float]] = (
        lambda: _baseline(sides, files, _passes(files, theirs_first, wanted_s)),
        lambda: ours(_passes(files, first.per_s, wanted_s)),
        lambda: ideal(1),
    )
    rounds = [[sample() for sample in samples] for _ in range(stage.sizes.repeats(rounds_wanted))]
    theirs, mine, best = (Rounds(list(values)) for values in zip(*rounds, strict=True))
    return Speeds(photos, mine, theirs, best, sent[-1].report)


def _passes(files: Sequence[str], per_s: float, seconds: float) -> int:
    return max(1, round(seconds * per_s / len(files)))


def _baseline(sides: Sides, files: Sequence[str], repeats: int) -> float:
    told = sides.baseline.ask(do="index", photos=files, repeats=repeats)
    return float(told["photos"] / told["seconds"])


def _worked(told: dict[str, Any]) -> float:
    return float(told["decode_s"] + told["detect_s"] + told["embed_s"])


def _mean(
    key: str, label: str, figures: Sequence[Figure], prefix: str, bar: Bar, note: str
) -> Figure:
    values = [each.value for each in figures if each.key.startswith(prefix)]
    spread = (min(values), max(values))
    return Figure(key, label, statistics.geometric_mean(values), "x", bar, spread, note)
