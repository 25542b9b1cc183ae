"""How much the workers have to do, and how much of the time they do it."""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ModelLoad:
    """What a shared model has run. runs: how many there were of so many items. places: of all
    their batches, padding included."""

    runs: Mapping[int, int] = field(default_factory=dict)
    places: int = 0

    def __add__(self, other: "ModelLoad") -> "ModelLoad":
        return ModelLoad(Counter(self.runs) + Counter(other.runs), self.places + other.places)

    @property
    def items(self) -> int:
        """Of all runs."""
        return sum(items * runs for items, runs in self.runs.items())


@dataclass(frozen=True, slots=True)
class DeviceLoad:
    """What a device process has done since its start. busy_s: seconds with any run under way.
    models: by the names of device_line.Model."""

    busy_s: float = 0.0
    models: Mapping[str, ModelLoad] = field(default_factory=dict)

    def __add__(self, other: "DeviceLoad") -> "DeviceLoad":
        none = ModelLoad()
        names = [*self.models, *(name for name in other.models if name not in self.models)]
        models = {n: self.models.get(n, none) + other.models.get(n, none) for n in names}
        return DeviceLoad(self.busy_s + other.busy_s, models)


@dataclass(frozen=True, slots=True)
class Workload:
    """The pool at one moment, less its workers for selfies alone. busy_s: worker seconds spent on
    images since the start. device: of all device processes, None where each worker has its own
    models; devices_replaced: those that died.
    """

    workers: int
    busy: int
    busy_s: float
    photos_waiting: int
    selfies_waiting: int
    replaced: int
    device: DeviceLoad | None = None
    devices_replaced: int = 0


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
