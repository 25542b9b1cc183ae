"""How much the workers have to do, and how much of the time they do it."""

import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Workload:
    """The pool at one moment, less its workers for selfies alone. busy_s: worker seconds spent on
    images since the start."""

    workers: int
    busy: int
    busy_s: float
    photos_waiting: int
    selfies_waiting: int
    replaced: int


class BusyTime:
    """Counts workers that are busy and adds up their time; read from any thread."""

    def __init__(self) -> None:
        # Count, seconds until it last changed, when it did: swapped as one, so that a reader in
        # another thread never sees parts of two states, and time never runs backwards for it.
        self._state = (0, 0.0, time.perf_counter())

    @property
    def busy(self) -> int:
        """Workers that have an image right now."""
        return self._state[0]

    @property
    def seconds(self) -> float:
        """Worker seconds so far, those of images under way included."""
        busy, seconds, since = self._state
        return seconds + busy * (time.perf_counter() - since)

    def begin(self) -> None:
        """One more worker has an image."""
        self._change(1)

    def end(self) -> None:
        """One worker has finished its image."""
        self._change(-1)

    def _change(self, by: int) -> None:
        busy, seconds, since = self._state
        now = time.perf_counter()
        self._state = (busy + by, seconds + busy * (now - since), now)
