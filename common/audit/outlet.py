"""One sink of the record, and the lines that wait for it."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from typing import Protocol

from common.audit.line import Line
from common.metrics import Metrics

log = logging.getLogger(__name__)
_AT_ONCE = 1000
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 2.0
_LAST_CHANCE_S = 5.0


class Sink(Protocol):
    """Where lines end up."""

    name: str
    gathers_s: float
    """How long to let lines come together before they are written."""

    async def write(self, lines: Sequence[Line]) -> int:
        """Write lines, and return how many of them, from the first, were written for good. Raises
        whatever went wrong where it was none. Lines that were written before are passed over."""
        ...


class Outlet:
    """Writes what it is given, in order, and again where that failed. What waits is bounded."""

    def __init__(self, sink: Sink, most: int, metrics: Metrics) -> None:
        self._sink = sink
        self._most = most
        self._waiting: deque[Line] = deque()
        self._some, self._none = asyncio.Event(), asyncio.Event()
        self._none.set()
        self._failing = False
        self._losing = 0
        self._written = metrics.audit_lines.labels(sink.name, "written")
        self._lost = metrics.audit_lines.labels(sink.name, "lost")
        self._depth = metrics.audit_waiting.labels(sink.name)

    def room(self, promised: int) -> bool:
        """Whether a line would find room beside those that were promised some."""
        return len(self._waiting) + promised < self._most

    def put(self, line: Line) -> None:
        """Take a line on."""
        self._waiting.append(line)
        self._some.set()
        self._none.clear()

    def lose(self) -> None:
        """Take note that there was no room for a line."""
        self._lost.inc()
        if not self._losing:
            log.error("audit lines are lost: %s", self._sink.name, extra={"action": "audit_lost"})
        self._losing += 1

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Write for as long as the context lasts, and then what is left, for some seconds."""
        task = asyncio.create_task(self._write_all())
        try:
            yield
        finally:
            try:
                async with asyncio.timeout(_LAST_CHANCE_S):
                    await self._none.wait()
            except TimeoutError:
                log.error(
                    "audit lines are lost: the server ends, and %s takes none",
                    self._sink.name,
                    extra={"action": "audit_lost", "lines": len(self._waiting)},
                )
                self._lost.inc(len(self._waiting))
            task.cancel()
            await asyncio.wait([task])

    async def _write_all(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            await self._some.wait()
            await asyncio.sleep(self._sink.gathers_s)
            self._depth.set(len(self._waiting))
            try:
                done = await self._sink.write(list(islice(self._waiting, _AT_ONCE)))
            except Exception as error:
                self._say_failing(error)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            else:
                pause_s = _FIRST_PAUSE_S
                self._forget(done)

    def _forget(self, done: int) -> None:
        for _ in range(done):
            self._waiting.popleft()
        self._written.inc(done)
        self._depth.set(len(self._waiting))
        if not self._waiting:
            self._some.clear()
            self._none.set()
        if self._failing:
            log.warning("the audit is written again: %s", self._sink.name, extra=self._told())
            self._failing, self._losing = False, 0

    def _say_failing(self, error: Exception) -> None:
        if not self._failing:
            log.error(
                "the audit cannot be written: %s (%s: %s)",
                self._sink.name,
                type(error).__name__,
                error,
                extra={"action": "audit_failing"},
            )
        self._failing = True

    def _told(self) -> dict[str, object]:
        return {"action": "audit_recovered", "lost": self._losing}
