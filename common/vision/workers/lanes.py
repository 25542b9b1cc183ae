"""The two bounded lanes of images that wait for a worker."""

import asyncio
from typing import Generic, TypeVar

from common.errors import Overloaded, ProcessingFailed
from common.vision.workers.turns import Turns

T = TypeVar("T")

CLOSED = "The server is shutting down."


class Lanes(Generic[T]):
    """A queue of two priorities: urgent items overtake the others; each lane holds up to `size`.

    Lanes are apart so that a queue full of photos, which is its usual state while an event is
    indexed, never turns a selfie away. Within each, owners take turns: none waits for all that
    another has queued. A lane full of selfies refuses whoever comes next.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._urgent: Turns[T] = Turns()
        self._patient: Turns[T] = Turns()
        self._room = size
        self._waiting: Turns[asyncio.Future[None]] = Turns()
        self._arrival = asyncio.Event()
        self._closed = False

    def __len__(self) -> int:
        return self.urgent + self.patient

    @property
    def urgent(self) -> int:
        """Urgent items that wait."""
        return len(self._urgent)

    @property
    def patient(self) -> int:
        """Items that wait and are not urgent."""
        return len(self._patient)

    def put_urgent(self, owner: str, item: T, *, retry_after_s: float) -> None:
        """Queue before all that is not urgent. Raises Overloaded when the urgent lane is full."""
        if self._closed:
            raise ProcessingFailed(CLOSED)
        if len(self._urgent) >= self._size:
            raise Overloaded(
                "Too many images are waiting.", limit="queue", retry_after_s=retry_after_s
            )
        self._urgent.put(owner, item)
        self._arrival.set()

    async def put(self, owner: str, item: T) -> None:
        """Wait for room, by turns too, then queue. Raises ProcessingFailed when closed."""
        if not self._closed:
            await self._get_room(owner)
        if self._closed:
            raise ProcessingFailed(CLOSED)
        self._patient.put(owner, item)
        self._arrival.set()

    async def _get_room(self, owner: str) -> None:
        if self._room:
            self._room -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.put(owner, turn)
        try:
            await turn
        except asyncio.CancelledError:
            self._waiting.discard(owner, turn)
            if not turn.cancelled():
                self._give_room()
            raise

    def _give_room(self) -> None:
        while self._waiting:
            turn = self._waiting.take()
            if not turn.done():
                turn.set_result(None)
                return
        self._room += 1

    async def take(self, *, only_urgent: bool = False) -> T:
        """Wait for the next item."""
        while not (self._urgent or (self._patient and not only_urgent)):
            self._arrival.clear()
            await self._arrival.wait()
        if self._urgent:
            return self._urgent.take()
        self._give_room()
        return self._patient.take()

    def discard(self, owner: str, item: T) -> None:
        """Forget an item whose caller has gone; does nothing once it was taken."""
        if not self._urgent.discard(owner, item) and self._patient.discard(owner, item):
            self._give_room()

    def close(self) -> None:
        """Refuse everything from now on, also those waiting for room; forget what is queued."""
        self._closed = True
        self._urgent.clear()
        self._patient.clear()
        while self._waiting:
            self._give_room()
