"""Token buckets: each holds so much at most, and fills up steadily."""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

MOST_BUCKETS = 100_000
"""Of one process; beyond, the one that was used longest ago goes, which is most likely full."""
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Charge:
    """An amount of one bucket, which holds `most` and gets `per_s`. An amount that is more than it
    ever holds is let through when it is full, and owed."""

    bucket: str
    most: float
    per_s: float
    amount: float

    def wait_s(self, level: float) -> float:
        """Seconds until there is enough, 0 where there is."""
        lacking = min(self.amount, self.most) - level
        return lacking / self.per_s if lacking > _ROUNDING else 0.0


@dataclass(frozen=True, slots=True)
class Shortage:
    """The bucket with too little in it, and seconds until it has enough."""

    bucket: str
    wait_s: float


class Buckets(Protocol):
    """Where the levels are."""

    async def take(self, charges: Sequence[Charge]) -> Shortage | None:
        """Take from all buckets; from none where one has too little."""
        ...

    async def owe(self, charges: Sequence[Charge]) -> None:
        """Take what is used up already, even where that is more than there is."""
        ...


class MemoryBuckets:
    """The buckets of one process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    async def take(self, charges: Sequence[Charge]) -> Shortage | None:
        now = self._clock()
        waits = {each.bucket: each.wait_s(self._level(each, now)) for each in charges}
        emptiest = max(waits, key=lambda bucket: waits[bucket])
        if waits[emptiest] > 0:
            return Shortage(emptiest, waits[emptiest])
        await self.owe(charges)
        return None

    async def owe(self, charges: Sequence[Charge]) -> None:
        now = self._clock()
        for each in charges:
            self._buckets[each.bucket] = (self._level(each, now) - each.amount, now)
            self._buckets.move_to_end(each.bucket)
        while len(self._buckets) > MOST_BUCKETS:
            self._buckets.popitem(last=False)

    def _level(self, charge: Charge, now: float) -> float:
        level, then = self._buckets.get(charge.bucket, (charge.most, now))
        return min(charge.most, level + (now - then) * charge.per_s)
