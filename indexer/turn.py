"""Whose turn it is in a stream, the server's or the caller's, and ending one whose caller does
nothing."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from common.errors import CallerIdle

_PROGRESS_BYTES = 64 * 1024


class Turn:
    """It is the caller's turn while the server has nothing to do for it."""

    def __init__(self, timer: asyncio.Timeout, idle_timeout_s: float) -> None:
        self._timer = timer
        self._idle_timeout_s = idle_timeout_s
        self._ours = 0
        self._brought = 0
        self._wait_anew()

    def brought(self, size: int) -> None:
        """The caller sent so many bytes: a few at a time do not keep a stream alive."""
        self._brought += size
        if self._brought >= _PROGRESS_BYTES:
            self._wait_anew()

    def begin(self) -> None:
        """The server has something to do."""
        self._ours += 1
        self._wait_anew()

    def end(self) -> None:
        """The server is through with something."""
        self._ours -= 1
        self._wait_anew()

    @contextmanager
    def ours(self) -> Iterator[None]:
        """The server has something to do for as long as the context lasts."""
        self.begin()
        try:
            yield
        finally:
            self.end()

    def _wait_anew(self) -> None:
        self._brought = 0
        if not self._timer.expired():
            until = asyncio.get_running_loop().time() + self._idle_timeout_s
            self._timer.reschedule(None if self._ours else until)


@asynccontextmanager
async def taking_turns(idle_timeout_s: float) -> AsyncIterator[Turn]:
    """Raises CallerIdle when it is the caller's turn for too long."""
    try:
        async with asyncio.timeout(None) as timer:
            yield Turn(timer, idle_timeout_s)
    except TimeoutError:
        if not timer.expired():
            raise
        raise CallerIdle(
            f"nothing came for {idle_timeout_s:g} s; open a new stream and go on with the photos "
            "that were not answered"
        ) from None
