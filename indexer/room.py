"""Memory for photos between their first byte and their answer."""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Gauge


class Room:
    """So many bytes, given out first come first served.

    Who asks for a whole photo before its first byte is read can always finish it: nobody ever
    waits while holding half of one. A photo larger than all the room goes alone.
    """

    def __init__(self, most_bytes: int, gauge: Gauge | None = None) -> None:
        self._most = most_bytes
        self._taken = 0
        self._gauge = gauge
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def taken(self) -> int:
        """Bytes that are given out."""
        return self._taken

    def take_now(self, size: int) -> bool:
        """Take so many bytes where nobody has to wait for it; says whether it did."""
        if self._waiting or not self._fits(size):
            return False
        self._add(size)
        return True

    async def take(self, size: int) -> None:
        """Take so many bytes as soon as there is room."""
        if self.take_now(size):
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        place = (size, turn)
        self._waiting.append(place)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._waiting.remove(place)
                self._let_in()
            else:
                self.give_back(size)
            raise

    def give_back(self, size: int) -> None:
        """Give so many bytes back."""
        self._add(-size)
        self._let_in()

    def _fits(self, size: int) -> bool:
        return not self._taken or self._taken + size <= self._most

    def _add(self, size: int) -> None:
        self._taken += size
        if self._gauge is not None:
            self._gauge.set(self._taken)

    def _let_in(self) -> None:
        while self._waiting and self._fits(self._waiting[0][0]):
            size, turn = self._waiting[0]
            if turn.cancelled():
                return  # who waited for it removes it and goes on from here
            self._waiting.popleft()
            self._add(size)
            turn.set_result(None)


class Share:
    """One caller's part of the room, bounded by itself."""

    def __init__(self, room: Room, most_bytes: int) -> None:
        self._room = room
        self._own = Room(most_bytes)

    async def take(self, size: int) -> None:
        """Take so many bytes as soon as there is room, here and in the whole."""
        await self._own.take(size)
        try:
            await self._room.take(size)
        except BaseException:
            self._own.give_back(size)
            raise

    def give_back(self, size: int) -> None:
        """Give so many bytes back."""
        self._own.give_back(size)
        self._room.give_back(size)

    def give_all_back(self) -> None:
        """Give back whatever is still taken."""
        self.give_back(self._own.taken)


@contextmanager
def shared(room: Room, most_bytes: int) -> Iterator[Share]:
    """A share for as long as the context lasts; whoever uses it must have ended before."""
    share = Share(room, most_bytes)
    try:
        yield share
    finally:
        share.give_all_back()
