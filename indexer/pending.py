"""Saying how many photos are being worked on, so that a search can tell "none" from "not yet"."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from uuid import uuid4

from common.errors import DatabaseUnavailable
from common.metrics import Metrics
from common.names import EventName
from indexer.repository import PhotoRepository

log = logging.getLogger(__name__)
_INTERVAL_S = 0.2
_HEARTBEAT_ROUNDS = 25  # every 5 s; a report counts for 15 s


class PendingPhotos:
    """Counts photos from their arrival to their answer and reports the counts to the database."""

    def __init__(self, repository: PhotoRepository, metrics: Metrics) -> None:
        self._repository = repository
        self._metrics = metrics
        self._server_id = uuid4()
        self._counts: Counter[EventName] = Counter()
        self._reported: dict[EventName, int] = {}

    @contextmanager
    def photo(self, event: EventName) -> Iterator[None]:
        """Count one photo for as long as the context lasts."""
        self._counts[event] += 1
        self._metrics.photos_pending.inc()
        try:
            yield
        finally:
            self._counts[event] -= 1
            self._metrics.photos_pending.dec()

    @asynccontextmanager
    async def reporting(self) -> AsyncIterator[None]:
        """Report in the background for as long as the context lasts."""
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            self._counts.clear()
            await self._report(everything=True)

    async def _run(self) -> None:
        for round_no in range(1_000_000_000):
            await asyncio.sleep(_INTERVAL_S)
            await self._report(everything=round_no % _HEARTBEAT_ROUNDS == 0)

    async def _report(self, *, everything: bool) -> None:
        for event in {*self._counts, *self._reported}:
            pending = self._counts[event]
            if everything or self._reported.get(event) != pending:
                try:
                    await self._repository.report_pending(event, self._server_id, pending)
                except DatabaseUnavailable:
                    log.warning("pending not reported", extra={"action": "pending_not_reported"})
                    return
                self._reported[event] = pending
            if not pending:
                del self._counts[event]
                self._reported.pop(event, None)
