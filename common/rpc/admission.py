"""How many calls a server takes on at a time: beyond, it refuses at once and says when to try
again."""

import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from common.errors import Overloaded
from common.metrics import Metrics

_SHORTEST_WAIT_S, _LONGEST_WAIT_S = 0.1, 5.0
_UNKNOWN_S = 1.0
"""How long a call takes, until some have told."""
_PER_WORKER, _LEAST_CALLS = 4, 12


def calls_for(workers: int) -> int:
    """How many calls at a time keep so many workers busy: one is worked on and three wait. With
    more, each is answered later and none sooner."""
    return max(_LEAST_CALLS, _PER_WORKER * workers)


class Gate:
    """Lets at most so many calls of one kind in.

    gRPC's own `maximum_concurrent_rpcs` is not used: it counts health checks too, says nothing of
    when to try again, and has stopped limiting after refusals (grpc#41531).
    """

    def __init__(self, name: str, most: int, metrics: Metrics) -> None:
        """name: of the limit, as callers and metrics are told it."""
        self.name = name
        self._most = most
        self._in_flight = 0
        self._typical_s = _UNKNOWN_S
        self._admitted = metrics.calls_admitted.labels(name)
        metrics.calls_limit.labels(name).set(most)
        # An increase is told only of what was there before.
        metrics.refusals.labels(name, name)

    def check(self) -> None:
        """Raises Overloaded where no more calls are let in."""
        if self._in_flight >= self._most:
            raise Overloaded(
                f"too many calls are under way (limit: {self.name})",
                limit=self.name,
                retry_after_s=self._retry_after_s(),
            )

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Let one call in for as long as the context lasts. Raises Overloaded."""
        self.check()
        self._in_flight += 1
        self._admitted.set(self._in_flight)
        started = time.monotonic()
        try:
            yield
        finally:
            self._in_flight -= 1
            self._admitted.set(self._in_flight)
            self._typical_s += 0.1 * (time.monotonic() - started - self._typical_s)

    def _retry_after_s(self) -> float:
        # All who are in now are through after one call's time. Spread, lest all come back at once.
        typical_s = min(max(self._typical_s, _SHORTEST_WAIT_S), _LONGEST_WAIT_S)
        return typical_s * random.uniform(1, 2)


@dataclass(frozen=True)
class Admission:
    """A server's gates: those of some methods, by full name, and that of all others."""

    others: Gate
    gates: Mapping[str, Gate] = field(default_factory=dict)

    def gate(self, method: str) -> Gate:
        """The gate that the method's calls go through."""
        return self.gates.get(method, self.others)
