"""Computes what a machine holds and what so many events need, from sizes that a test measures and
from what docs/benchmarks.md says; writes it into docs/scaling.md.

usage: python -m tools.capacity [--events N ...] [--check | --write]     prints it without either
"""

import argparse
import math
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from indexer.config import PromotionSettings

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE, BENCHMARKS = DOCS / "scaling.md", DOCS / "benchmarks.md"
START, END = "<!-- capacity: written by `make docs` -->", "<!-- end -->"
GIB, TB, MILLION, YEAR_HOURS = 1024**3, 10**12, 10**6, 8760
FULL = 0.7
"""Share of a disk that is planned with: graphs are built anew beside the old ones."""
FOR_GALLERIES = 0.6
"""Share of a Searcher machine's memory."""
FOR_CACHE = 0.75
"""Share of a Postgres machine's memory."""
LARGEST_TABLE = 32 * 1024**4
GRAPH_FROM: int = PromotionSettings.model_fields["hnsw_min_faces"].default
EVENTS = (100, 10_000, 100_000, 1_000_000)


@dataclass(frozen=True)
class Sizes:
    """Bytes at 512 dimensions, all indexes included. tests/integration/test_capacity.py measures
    each, to within a tenth."""

    face: int = 1425
    """One in the shared table."""
    graph_face: int = 3130
    """One in an event's own table, with its graph."""
    photo: int = 275
    event: int = 520
    event_row: int = 390
    """Without indexes: what looking through all events reads."""
    log_face: int = 1490
    """Of Postgres' log, for a face and its share of the photo, before compression."""
    memory_face: int = 516
    """In a Searcher's memory."""


@dataclass(frozen=True)
class Load:
    """What is to be held. hot: share of the events that are searched in the same days."""

    faces_per_event: int = 5000
    faces_per_photo: float = 4.0
    hot: float = 0.02


@dataclass(frozen=True)
class Machine:
    """One of those that are bought."""

    cores: int = 16
    memory_gib: int = 64
    disk_tb: float = 4.0

    @property
    def memory(self) -> float:
        return self.memory_gib * GIB


@dataclass(frozen=True)
class Speeds:
    """Seconds of a core, as docs/benchmarks.md has them."""

    photo: float
    graph_face: float
    selfie: float

    @classmethod
    def of_page(cls, text: str) -> "Speeds":
        """Raises LookupError where a row is missing."""
        cores = _number(r"Sizes: scale 1\.0, cores (\d+), pack", text)
        photos = _row("16 camera-like photos of 12 MP: photos/s, FacePass", text)
        graph = _row("graph for an event of 200k faces: it took", text)
        selfie = _row("selfie search p50, idle", text)
        return cls(cores / photos, graph / 200_000, selfie / 1000)


def _row(label: str, text: str) -> float:
    return _number(rf"^\| {re.escape(label)} \|[^|]*\| ([\d.,]+)", text)


def _number(pattern: str, text: str) -> float:
    found = re.search(pattern, text, re.MULTILINE)
    if found is None:
        raise LookupError(f"docs/benchmarks.md has nothing like {pattern}")
    return float(found[1].replace(",", ""))


@dataclass(frozen=True)
class Capacity:
    """The formulas."""

    sizes: Sizes
    speeds: Speeds
    load: Load
    machine: Machine

    @property
    def face(self) -> float:
        """Bytes of the database for a face, its share of the photo and of the event included."""
        load, sizes = self.load, self.sizes
        own = sizes.graph_face if load.faces_per_event >= GRAPH_FROM else sizes.face
        return own + sizes.photo / load.faces_per_photo + sizes.event / load.faces_per_event

    def faces(self, events: int) -> int:
        return events * self.load.faces_per_event

    def disk(self, events: int) -> float:
        return self.faces(events) * self.face

    def hot_faces(self, events: int) -> float:
        return self.load.hot * self.faces(events)

    def galleries(self, events: int) -> float:
        """Bytes of the Searchers' memory in which all that are searched have a place."""
        return self.hot_faces(events) * self.sizes.memory_face

    def cache(self, events: int) -> float:
        """Bytes of Postgres' memory in which all that are searched have a place."""
        return self.hot_faces(events) * self.face

    def core_hours(self, faces: float) -> float:
        """For indexing."""
        return faces / self.load.faces_per_photo * self.speeds.photo / 3600

    def postgres_machines(self, events: int) -> int:
        by_disk = self.disk(events) / (self.machine.disk_tb * TB * FULL)
        by_memory = self.cache(events) / (self.machine.memory * FOR_CACHE)
        return max(1, math.ceil(max(by_disk, by_memory)))

    def searcher_machines(self, events: int) -> int:
        return max(1, math.ceil(self.galleries(events) / (self.machine.memory * FOR_GALLERIES)))


def report(capacity: Capacity, events: Sequence[int]) -> Iterator[str]:
    """All tables, as Markdown."""
    yield from _million(capacity)
    yield ""
    yield from _one_machine(capacity)
    yield ""
    yield from _growth(capacity, events)


def _million(capacity: Capacity) -> Iterator[str]:
    sizes, load, speeds = capacity.sizes, capacity.load, capacity.speeds
    photos = MILLION / load.faces_per_photo
    yield "| A million faces take | | Formula |"
    yield "| --- | --- | --- |"
    yield f"| in the shared table | {_bytes(MILLION * sizes.face)} | {sizes.face:,} B a face |"
    yield (
        f"| or in own tables with graphs | {_bytes(MILLION * sizes.graph_face)} "
        f"| {sizes.graph_face:,} B a face; from {GRAPH_FROM:,} faces an event |"
    )
    yield (
        f"| rows of their {photos:,.0f} photos | {_bytes(photos * sizes.photo)} "
        f"| {sizes.photo:,} B a photo |"
    )
    yield (
        f"| Postgres' log while they come | {_bytes(MILLION * sizes.log_face)} "
        f"| {sizes.log_face:,} B a face, page images after checkpoints apart |"
    )
    yield (
        f"| in a Searcher's memory | {_bytes(MILLION * sizes.memory_face)} "
        f"| {sizes.memory_face:,} B a face: 512 + 4 |"
    )
    yield (
        f"| indexing | {capacity.core_hours(MILLION):,.1f} core hours "
        f"| {speeds.photo:.3f} s of a core for a photo of 12 megapixels |"
    )
    yield (
        f"| building graphs | {MILLION * speeds.graph_face / 3600:,.1f} hours "
        f"| {1000 * speeds.graph_face:.2f} ms a face on two cores, at 200,000 faces an event |"
    )


def _one_machine(capacity: Capacity) -> Iterator[str]:
    machine, load, sizes = capacity.machine, capacity.load, capacity.sizes
    on_disk = machine.disk_tb * TB * FULL / capacity.face
    in_memory = machine.memory * FOR_GALLERIES / sizes.memory_face
    cached = machine.memory * FOR_CACHE / capacity.face
    yield f"| {_machine(machine)} | holds | Formula |"
    yield "| --- | --- | --- |"
    yield (
        f"| Postgres' disk | {_faces(on_disk, load)} "
        f"| {FULL:.0%} of it, {capacity.face:,.0f} B a face with all that goes with it |"
    )
    yield (
        f"| Postgres' memory | {_faces(cached, load)} "
        f"| {FOR_CACHE:.0%} of it, if it is Postgres' alone |"
    )
    yield (
        f"| a Searcher's memory | {_faces(in_memory, load)} "
        f"| {FOR_GALLERIES:.0%} of it for galleries, if it is the Searcher's alone |"
    )
    both = min(cached, in_memory) / 2
    yield (
        f"| all on one machine | as much on its disk, {_faces(both, load)} of it in the same days "
        "| half of the memory for each |"
    )
    photos = machine.cores / capacity.speeds.photo
    yield (
        f"| an Indexer's cores | {photos:,.0f} photos a second, {photos * 3600:,.0f} an hour "
        f"| {machine.cores} / {capacity.speeds.photo:.3f} s |"
    )
    yield (
        f"| a Searcher's cores | {machine.cores / capacity.speeds.selfie:,.0f} selfies a second "
        f"| {machine.cores} / {capacity.speeds.selfie:.3f} s: what an idle server takes for one |"
    )


def _growth(capacity: Capacity, events: Sequence[int]) -> Iterator[str]:
    headings = (
        "Events", "Faces", "Database", "Log in all", "Searched in the same days",
        "Searchers' memory for it", "Postgres' memory for it", "Indexing it all",
        "Cores, in a year", "Postgres machines", "Searcher machines",
    )  # fmt: skip
    yield f"| {' | '.join(headings)} |"
    yield f"|{' --- |' * len(headings)}"
    for count in events:
        faces = capacity.faces(count)
        cells = (
            f"{count:,}", _count(faces), _bytes(capacity.disk(count)),
            _bytes(faces * capacity.sizes.log_face), f"{count * capacity.load.hot:,.0f} events",
            _bytes(capacity.galleries(count)), _bytes(capacity.cache(count)),
            f"{capacity.core_hours(faces):,.0f} core hours",
            _cores(capacity.core_hours(faces) / YEAR_HOURS),
            str(capacity.postgres_machines(count)), str(capacity.searcher_machines(count)),
        )  # fmt: skip
        yield f"| {' | '.join(cells)} |"
    load = capacity.load
    yield ""
    yield (
        f"With {load.faces_per_event:,} faces an event, {load.faces_per_photo:g} a photo, "
        f"{load.hot:.0%} of the events searched in the same days, and machines of "
        f"{_machine(capacity.machine)}. One look through all {events[-1]:,} events, for those that "
        f"need a graph, reads {_bytes(events[-1] * capacity.sizes.event_row)}. Postgres' largest "
        f"table, 32 TiB, holds {_count(LARGEST_TABLE / capacity.sizes.face)} faces at least."
    )


def _machine(machine: Machine) -> str:
    return f"{machine.cores} cores, {machine.memory_gib} GiB, {machine.disk_tb:g} TB"


def _faces(faces: float, load: Load) -> str:
    return f"{_count(faces)} faces, {faces / load.faces_per_event:,.0f} events"


def _cores(number: float) -> str:
    return f"{number:.1f}" if number >= 0.1 else "< 0.1"


def _count(number: float) -> str:
    return f"{number / 1e9:,.3g} billion" if number >= 1e9 else f"{number / 1e6:,.3g} million"


def _bytes(number: float) -> str:
    power = min(int(math.log(number, 1000)), 5)
    return f"{number / 1000**power:.3g} {('B', 'kB', 'MB', 'GB', 'TB', 'PB')[power]}"


def main(arguments: Sequence[str]) -> int:
    options = _options(arguments)
    load = Load(options.faces_per_event, options.faces_per_photo, options.hot)
    machine = Machine(options.cores, options.memory_gib, options.disk_tb)
    speeds = Speeds.of_page(BENCHMARKS.read_text())
    lines = report(Capacity(Sizes(), speeds, load, machine), options.events)
    if not options.check and not options.write:
        print("\n".join(lines))
        return 0
    pattern = re.compile(re.escape(START) + ".*?" + re.escape(END), re.DOTALL)
    before = PAGE.read_text()
    after = pattern.sub(lambda _: "\n".join([START, "", *lines, "", END]), before, count=1)
    if options.write:
        PAGE.write_text(after)
    elif before != after:
        print(f"stale: {PAGE.name}. Run `make docs`.", file=sys.stderr)
        return 1
    return 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, nargs="+", default=EVENTS, metavar="N")
    for block in (Load, Machine):
        for each in fields(block):
            kind = type(each.default)
            parser.add_argument(f"--{each.name.replace('_', '-')}", type=kind, default=each.default)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--check", action="store_true")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
