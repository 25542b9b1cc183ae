"""Events that are not in memory, as searches last saw them."""

from collections import OrderedDict
from collections.abc import Container
from dataclasses import dataclass
from time import monotonic

from common.event import Event
from common.names import EventName

_MOST = 1_024
_SETTLED_S = 1.0
_LONGEST_S = 30.0
"""How long a look is good for what no search depends on, such as how widely a graph is searched."""


@dataclass(frozen=True, slots=True)
class _Seen:
    event: Event
    since_s: float
    at_s: float


class SeenEvents:
    """Spares a search the look at an event that has not changed of late: what it then reads tells
    whether it still has not."""

    def __init__(self) -> None:
        self._seen: OrderedDict[int, _Seen] = OrderedDict()

    @property
    def keys(self) -> list[int]:
        """Of the events that are known here."""
        return list(self._seen)

    def add(self, event: Event) -> None:
        """A look at the event has shown it like this."""
        before, now_s = self._seen.pop(event.name.key, None), monotonic()
        same = before is not None and before.event.standing == event.standing
        since_s = before.since_s if before is not None and same else now_s
        self._seen[event.name.key] = _Seen(event, since_s, now_s)
        if len(self._seen) > _MOST:
            self._seen.popitem(last=False)

    def settled(self, name: EventName) -> Event | None:
        """The event, where it was looked at lately and had stayed as it was before."""
        seen, now_s = self._seen.get(name.key), monotonic()
        if seen is None or seen.event.name != name:
            return None
        fresh = now_s - seen.at_s < _LONGEST_S
        return seen.event if fresh and now_s - seen.since_s > _SETTLED_S else None

    def keep(self, alive: Container[int]) -> None:
        """Forget the others."""
        for key in self.keys:
            if key not in alive:
                del self._seen[key]
