"""Saying how many photos are being worked on, so that a search can tell "none" from "not yet"."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import count
from uuid import uuid4

from common.background import going_on
from common.errors import DatabaseUnavailable, OutOfSpace
from common.metrics import Metrics
from common.names import EventName
from indexer.repository import PhotoRepository

log = logging.getLogger(__name__)
_INTERVAL_S = 0.2
_LAST_REPORTS_S = 2.0
_HEARTBEAT_ROUNDS = 25  # every 5 s; a report counts for 15 s


class PendingPhotos:
    """Counts photos from their arrival to their answer and reports the counts to the database."""

    def __init__(self, repository: PhotoRepository, metrics: Metrics) -> None:
        self._repository = repository
        self._metrics = metrics
        self._server_id = uuid4()
        self._counts: Counter[EventName] = Counter()
        self._reported: dict[EventName, int] = {}
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def photo(self, event: EventName) -> AsyncIterator[None]:
        """Count one photo for as long as the context lasts.

        When the event's last one ends, the database knows before its caller is answered.
        """
        self._counts[event] += 1
        self._metrics.photos_pending.inc()
        try:
            yield
        finally:
            self._counts[event] -= 1
            self._metrics.photos_pending.dec()
            if not self._counts[event]:
                await self._report(event)

    @asynccontextmanager
    async def reporting(self) -> AsyncIterator[None]:
        """Report in the background for as long as the context lasts."""
        try:
            async with going_on(self._run()):
                yield
        finally:
            self._counts.clear()
            # Not for long where the database is away: reports that are not renewed soon expire.
            with suppress(TimeoutError):
                async with asyncio.timeout(_LAST_REPORTS_S):
                    for event in list(self._reported):
                        await self._report(event)

    async def _run(self) -> None:
        for round_no in count():
            await asyncio.sleep(_INTERVAL_S)
            heartbeat = round_no % _HEARTBEAT_ROUNDS == 0
            for event in {*self._counts, *self._reported}:
                await self._report(event, again=heartbeat)

    async def _report(self, event: EventName, *, again: bool = False) -> None:
        """Bring the database's count up to date; `again` also when it did not change."""
        async with self._lock:
            pending = self._counts[event]
            if not again and self._reported.get(event, 0) == pending:
                self._forget_if_idle(event)
                return
            try:
                await self._repository.report_pending(event, self._server_id, pending)
            except (DatabaseUnavailable, OutOfSpace):
                log.warning("pending not reported", extra={"action": "pending_not_reported"})
                return
            self._reported[event] = pending
            self._forget_if_idle(event)

    def _forget_if_idle(self, event: EventName) -> None:
        if not self._counts[event]:
            del self._counts[event]
            if not self._reported.get(event):
                self._reported.pop(event, None)
