"""Synthetic templates that behave like real ones, and the events that hold them.

Identities differ along few directions more than along others (a decaying spectrum), so strangers'
similarities spread as those of real packs do; faces of one identity scatter around it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.names import EventName

DIMENSION = 512
THRESHOLD = 0.4
"""Similarity from which a face counts as found."""
LIMIT = 50
"""Most faces of an answer, on both sides: no identity has as many."""
FACES_PER_PHOTO = 4
WRITTEN = "written"
"""Label of the event that starts empty."""

_SEED = 20
_DECAY = 0.59  # strangers' similarities then have a standard deviation of 0.07
_SCATTER = 0.613  # variance of a face around its identity: two faces of one are at 0.62 on average
_FACES_OF_ONE = (5, 20)

Templates = NDArray[np.float32]
"""(N, DIMENSION), L2-normalised."""


@dataclass(frozen=True, slots=True)
class Gallery:
    """One event: its faces are rows `start` to before `start + size` of all templates."""

    name: EventName
    start: int
    size: int

    @property
    def photos(self) -> int:
        return -(-self.size // FACES_PER_PHOTO)

    def of(self, templates: Templates) -> Templates:
        """(size, DIMENSION): the event's own, in the order of their face numbers, from 1 on."""
        return templates[self.start : self.start + self.size]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of everything, at a scale of 1 as the figures are told."""

    scale: float

    @property
    def events(self) -> dict[str, int]:
        """Faces of the events that are searched, by label."""
        labels = {"500": 500, "1k": 1000, "5k": 5000, "20k": 20_000, "50k": 50_000, "200k": 200_000}
        return {label: max(40, round(size * self.scale)) for label, size in labels.items()}

    @property
    def faces(self) -> int:
        """Faces of all events."""
        return max(round(500_000 * self.scale), sum(self.events.values()) * 3 // 2)

    @property
    def many(self) -> int:
        """Events of the database that has many."""
        return max(40, round(20_000 * self.scale))

    few = 10
    probes = 100

    def repeats(self, count: int) -> int:
        """How often to do what is done `count` times at full size."""
        return count if self.scale >= 0.5 else max(1, count // 5)


class Population:
    """Identities with their faces, and fresh views of them. The same in every run."""

    def __init__(self, sizes: Sizes) -> None:
        rng = np.random.default_rng(_SEED)
        self._rng = rng
        self._spread = (np.arange(1, DIMENSION + 1) ** -(_DECAY / 2)).astype(np.float32)
        square = rng.standard_normal((DIMENSION, DIMENSION), dtype=np.float32)
        self._rotation = np.linalg.qr(square)[0].astype(np.float32)
        self._identities: dict[str, Templates] = {}
        parts = [self._event(label, size) for label, size in sizes.events.items()]
        parts.append(self._event("others", sizes.faces - sum(map(len, parts))))
        self.templates = np.concatenate(parts)

    def strangers(self, count: int) -> Templates:
        """(count, DIMENSION): faces of nobody else."""
        return self._views(self._draw(count))

    def probes(self, label: str, count: int) -> Templates:
        """(count, DIMENSION): fresh views of identities that are in the event."""
        identities = self._identities[label]
        return self._views(identities[self._rng.integers(len(identities), size=count)])

    def _event(self, label: str, size: int) -> Templates:
        low, high = _FACES_OF_ONE
        counts = self._rng.integers(low, high + 1, size=size // low + 1)
        counts = counts[: int(np.searchsorted(np.cumsum(counts), size)) + 1]
        identities = self._draw(len(counts))
        self._identities[label] = identities
        whose = np.repeat(np.arange(len(counts)), counts)[:size]
        if label != "others":  # those of one identity stay in one small event
            self._rng.shuffle(whose)
        return self._views(identities[whose])

    def _draw(self, count: int) -> Templates:
        shape = (count, DIMENSION)
        return self._rng.standard_normal(shape, dtype=np.float32) * self._spread

    def _views(self, identities: Templates) -> Templates:
        views = identities + np.float32(_SCATTER**0.5) * self._draw(len(identities))
        views = views @ self._rotation
        views /= np.linalg.norm(views, axis=1, keepdims=True)
        return np.asarray(views, dtype=np.float32)


def layout(sizes: Sizes, events: int) -> dict[str, Gallery]:
    """All templates in that many events: those that are searched, by label, an empty one to write
    to, and others that share the rest."""
    labels = [*sizes.events, WRITTEN]
    ends = np.cumsum([0, *sizes.events.values(), 0])
    others = np.linspace(ends[-1], sizes.faces, events - len(labels) + 1)
    edges = [*ends.tolist(), *others[1:].astype(int).tolist()]
    labels += [f"other {i}" for i in range(events - len(labels))]
    return {
        label: Gallery(EventName(f"event-{i:05d}"), start, end - start)
        for i, (label, start, end) in enumerate(zip(labels, edges, edges[1:], strict=False))
    }


def true_matches(templates: Templates, probes: Templates) -> Sequence[frozenset[int]]:
    """By brute force: the numbers (from 1 on) of the faces at or above THRESHOLD, for each
    probe."""
    return [
        frozenset((np.flatnonzero(row >= THRESHOLD) + 1).tolist()) for row in probes @ templates.T
    ]
