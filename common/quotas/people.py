"""How many different people a subject may look up in an event in a day: one who searches for their
own photos needs one."""

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from common.auth.caller import caller
from common.metrics import Metrics
from common.quotas.quotas import refusal
from common.vision.types import EmbeddingVector

DAY_S = 86_400.0
MOST_TEMPLATES = 25_000
"""Of one process, some 50 MiB at 512 dimensions; beyond, those of whoever searched longest ago
go."""


@dataclass(slots=True)
class _LookedUp:
    """The people of one subject, event and pack, oldest first. templates: (N, D)."""

    times: deque[float]
    templates: NDArray[np.float32]

    def forget(self, before: float) -> None:
        while self.times and self.times[0] <= before:
            self.times.popleft()
        self.templates = self.templates[len(self.templates) - len(self.times) :]


class PeopleBudget:
    """Counts probes, those that resemble each other as one person.

    The templates of a day's probes are kept for that, in this process' memory only: another server,
    and this one started anew, counts from nothing.
    """

    def __init__(
        self, most: int, metrics: Metrics, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """most: 0 means any number."""
        self._most = most
        self._metrics = metrics
        self._clock = clock
        self._known: OrderedDict[tuple[str, UUID, str], _LookedUp] = OrderedDict()
        self._kept = 0

    def spend(
        self, event: UUID, pack: str, probes: Sequence[EmbeddingVector], min_similarity: float
    ) -> None:
        """Count the probes of a search, (D,) each; from min_similarity on two are one person.
        Raises QuotaExceeded, and counts none then, where they are too many."""
        if not self._most or not probes:
            return
        now = self._clock()
        key = (caller.get().subject, event, pack)
        people = self._known.get(key) or _LookedUp(
            deque(), np.empty((0, len(probes[0])), np.float32)
        )
        before = len(people.times)
        people.forget(now - DAY_S)
        templates = people.templates
        for probe in probes:
            if np.max(templates @ probe, initial=-1) < min_similarity:
                templates = np.vstack([templates, probe], dtype=np.float32)
        over = len(templates) - self._most
        if over <= 0:
            people.times.extend([now] * (len(templates) - len(people.times)))
            people.templates = templates
            self._known[key] = people
            self._known.move_to_end(key)
        self._kept += len(people.times) - before
        self._bound()
        if over > 0:
            at = min(over, len(people.times)) - 1
            wait_s = people.times[at] + DAY_S - now if at >= 0 else DAY_S
            message = "more people were looked up in this event than a day allows"
            raise refusal(message, "people", wait_s, self._metrics)

    def _bound(self) -> None:
        while self._kept > MOST_TEMPLATES:
            _, gone = self._known.popitem(last=False)
            self._kept -= len(gone.times)
