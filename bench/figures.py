"""Figures, how they are told, and ratios of two things that are measured by turns."""

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

_ALMOST_ONE = 0.99


@dataclass(frozen=True, slots=True)
class Bar:
    """What a figure is to reach: `>=` or `<=` a number."""

    relation: str
    value: float

    def reached(self, value: float) -> bool:
        return value >= self.value if self.relation == ">=" else value <= self.value


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value. spread: lowest and highest of the rounds, None where there are none."""

    key: str
    label: str
    value: float
    unit: str = ""
    bar: Bar | None = None
    spread: tuple[float, float] | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        """`ok`, `MISSED`, or nothing where there is no bar."""
        if self.bar is None:
            return ""
        return "ok" if self.bar.reached(self.value) else "MISSED"


@dataclass(frozen=True, slots=True)
class Rounds:
    """Medians of the rounds of one measurement, in seconds."""

    values: Sequence[float]

    @property
    def median(self) -> float:
        return statistics.median(self.values)


def interleaved(rounds: int, *samples: Callable[[int], float]) -> list[Rounds]:
    """Take each of `samples` once a round by turns; a sample is called with the round's number."""
    taken: list[list[float]] = [[] for _ in samples]
    for number in range(rounds):
        for values, sample in zip(taken, samples, strict=True):
            values.append(sample(number))
    return [Rounds(values) for values in taken]


def call_by_call(
    rounds: int, calls: Callable[[int], Sequence[Sequence[Callable[[], object]]]]
) -> list[Rounds]:
    """Median seconds of several things in each round, one call of each by turns, and every other
    turn the other way round: none of them always finds the processor's caches and clock as a
    certain other one leaves them.

    calls: of a round's number, for each thing as many.
    """
    taken: list[list[float]] = []
    for number in range(rounds):
        lists = calls(number)
        times: list[list[float]] = [[] for _ in lists]
        for i, turn in enumerate(zip(*lists, strict=True)):
            for values, call in list(zip(times, turn, strict=True))[:: -1 if i % 2 else 1]:
                started = perf_counter()
                call()
                values.append(perf_counter() - started)
        taken.append([statistics.median(values) for values in times])
    return [Rounds(list(values)) for values in zip(*taken, strict=True)]


def median_time(calls: Sequence[Callable[[], object]]) -> float:
    """Median seconds of the calls, one after the other."""
    times = []
    for call in calls:
        started = perf_counter()
        call()
        times.append(perf_counter() - started)
    return statistics.median(times)


def ratio(
    key: str, label: str, over: Rounds, under: Rounds, bar: Bar | None = None, note: str = ""
) -> Figure:
    """How many times as much `over` is as `under`: the median of the rounds' own ratios."""
    values = [a / b for a, b in zip(over.values, under.values, strict=True)]
    return of_rounds(key, label, values, "x", bar, note)


def of_rounds(
    key: str, label: str, values: Sequence[float], unit: str, bar: Bar | None = None, note: str = ""
) -> Figure:
    """The median of the rounds with their spread."""
    spread = (min(values), max(values))
    return Figure(key, label, statistics.median(values), unit, bar, spread, note)


def milliseconds(key: str, label: str, rounds: Rounds, note: str = "") -> Figure:
    """A time on its own, which says something of this machine only."""
    return of_rounds(key, label, [value * 1000 for value in rounds.values], "ms", note=note)


def rows(figures: Sequence[Figure]) -> list[tuple[str, ...]]:
    """Figures as the cells of a table, its heading first."""
    table: list[tuple[str, ...]] = [("figure", "bar", "value", "spread", "", "note")]
    for each in figures:
        bar = f"{each.bar.relation} {_number(each.bar.value, each.unit)}" if each.bar else ""
        spread = " - ".join(_number(end) for end in each.spread) if each.spread else ""
        value = _number(each.value, each.unit)
        table.append((each.label, bar, value, spread, each.verdict, each.note))
    return table


def as_text(figures: Sequence[Figure]) -> str:
    """A table for the terminal."""
    table = rows(figures)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def as_json(
    name: str, figures: Sequence[Figure], sizes: Mapping[str, object], seconds: float
) -> str:
    """One line: every figure under its key, the table, and where it was measured."""
    return json.dumps(
        {
            "name": name,
            **{figure.key: round(figure.value, 5) for figure in figures},
            "spread": {
                figure.key: [round(end, 5) for end in figure.spread]
                for figure in figures
                if figure.spread
            },
            "table": rows(figures),
            "sizes": sizes,
            "seconds": round(seconds),
            "machine": machine(),
            "commit": commit(),
        }
    )


def machine() -> str:
    """The machine in a few words."""
    model = platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            found = [line.partition(":")[2].strip() for line in lines if "model name" in line]
        model = found[0] if found else model
    except OSError:
        pass
    return f"{os.cpu_count()} x {model}, {platform.system()}"


def commit() -> str:
    """Short hash of the checkout, with `+` where it is changed."""
    command = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    told = subprocess.run(command, capture_output=True, text=True)
    return told.stdout.strip() or "unknown"


def _number(value: float, unit: str = "") -> str:
    if _ALMOST_ONE <= round(value, 5) < 1:  # cosines, recall: what is lacking is what matters
        return f"{value:.5f}".rstrip("0")
    digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 20 else 2 if abs(value) >= 2 else 3
    gap = "" if unit in ("", "x") else " "
    return f"{value:,.{digits}f}{gap}{unit}"
