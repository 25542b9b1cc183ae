"""Everything that the measurements share."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from time import perf_counter

from bench.baselines import b3
from bench.fill_repository import fill
from bench.ground import Ground, Server, prepared
from bench.searches import Searches
from bench.templates import Gallery, Population, Sizes, Templates, layout, true_matches
from common.event import StoredPack

FEW, MANY = "few_events", "many_events"
_KEPT = {"FACEPASS_GALLERY__MEMORY_BYTES": str(4 << 30)}
_NOT_KEPT = {"FACEPASS_GALLERY__MEMORY_BYTES": "0"}


@dataclass
class Progress:
    """Tells on standard error what is going on, with the seconds since the start."""

    started: float = field(default_factory=perf_counter)

    @property
    def seconds(self) -> float:
        return perf_counter() - self.started

    def say(self, text: str) -> None:
        print(f"{self.seconds:6.1f} s  {text}", file=sys.stderr, flush=True)


class Stage:
    """The same faces in two databases of many and of few events, in B3's table, and servers."""

    def __init__(self, sizes: Sizes, ground: Ground, stack: ExitStack, progress: Progress) -> None:
        self.sizes = sizes
        self.ground = ground
        self.stack = stack
        self.progress = progress
        self.runner = stack.enter_context(asyncio.Runner())
        self.population = Population(sizes)
        self.events = layout(sizes, sizes.many)
        self.few_events = layout(sizes, sizes.few)
        self._views: dict[str, tuple[Templates, list[frozenset[int]]]] = {}
        self.pack = self._fill(MANY, self.events)
        self._fill(FEW, self.few_events)

    def _fill(self, database: str, events: dict[str, Gallery]) -> StoredPack:
        self.progress.say(f"filling {database}: {len(events)} events")
        self.ground.create_database(database)
        dsn = self.ground.owner_dsn(database)
        return self.runner.run(fill(dsn, events.values(), self.population.templates))

    def build_baseline(self) -> None:
        """Fill and index the table of B3, and connect to it."""
        self.progress.say("building the global graph of B3")
        dsn = self.ground.owner_dsn(MANY)
        self.runner.run(b3.build(dsn, self.events.values(), self.population.templates))
        self.progress.say("B3 is built")

    def searches(self, database: str, *, hot: bool) -> Searches:
        """A Searcher that keeps galleries in memory, or one that never does."""
        server = self.ground.serve("searcher", database, **(_KEPT if hot else _NOT_KEPT))
        return Searches(server, self.stack.enter_context(server.channel()))

    def indexer(self) -> Server:
        """An Indexer that builds graphs when told to, and for events as large as these."""
        settings = {
            "FACEPASS_PROMOTION__QUIET_S": "86400",
            "FACEPASS_PROMOTION__RECALL_INTERVAL_S": "86400",
            "FACEPASS_PROMOTION__HNSW_MIN_FACES": str(round(20_000 * self.sizes.scale)),
        }
        return self.ground.serve("indexer", MANY, **settings)

    def views(self, label: str) -> tuple[Templates, list[frozenset[int]]]:
        """Probes of an event's people, and what is to be found for each."""
        if label not in self._views:
            probes = self.population.probes(label, self.sizes.probes)
            wanted = true_matches(self.events[label].of(self.population.templates), probes)
            self._views[label] = (probes, list(wanted))
        return self._views[label]


@contextmanager
def staged(scale: float) -> Iterator[Stage]:
    """A stage with its databases filled; all of it ends with the context."""
    progress = Progress()
    progress.say("making templates")
    with ExitStack() as stack:
        ground = stack.enter_context(prepared(small=scale < 0.5))
        yield Stage(Sizes(scale), ground, stack, progress)
