"""What a device process counts of its models' runs."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from common.vision.workers.workload import DeviceLoad, ModelLoad


class Tally:
    """Counts runs of several models, each in a thread of its own."""

    def __init__(self) -> None:
        self.changed = threading.Event()
        """Set by whatever is counted; for the one who tells it on."""
        self._lock = threading.Lock()
        self._begun: dict[str, float] = {}
        self._busy_since = 0.0
        self._busy_s = 0.0
        self._runs: dict[str, Counter[int]] = {}
        self._places: Counter[str] = Counter()

    @contextmanager
    def run(self, model: str, items: int, places: int) -> Iterator[None]:
        """One run of a model: so many items in so many places."""
        with self._lock:
            now = time.perf_counter()
            if not self._begun:
                self._busy_since = now
            self._begun[model] = now
        try:
            yield
        finally:
            with self._lock:
                del self._begun[model]
                if not self._begun:
                    self._busy_s += time.perf_counter() - self._busy_since
                self._runs.setdefault(model, Counter())[items] += 1
                self._places[model] += places
            self.changed.set()

    @property
    def longest_s(self) -> float:
        """How long the run has taken that is under way longest; 0 if there is none."""
        with self._lock:
            return time.perf_counter() - min(self._begun.values()) if self._begun else 0.0

    @property
    def load(self) -> DeviceLoad:
        """All so far."""
        with self._lock:
            now = time.perf_counter()
            return DeviceLoad(
                self._busy_s + (now - self._busy_since if self._begun else 0.0),
                {
                    name: ModelLoad(dict(runs), self._places[name])
                    for name, runs in self._runs.items()
                },
            )
