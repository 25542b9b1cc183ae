"""Keeping memory free of what was erased, and saying so.

An erasure is acknowledged once every Searcher has confirmed it, or was not heard of for STALE_S.
So a Searcher that cannot say that it is there empties its memory well before that: after ALONE_S.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from time import monotonic

from common.db.searchers import ALONE_S
from common.errors import FacePassError
from searcher.forgetting_repository import ForgettingRepository
from searcher.galleries import Galleries

log = logging.getLogger(__name__)
_LOOK_S = 0.05
_BEAT_S = 2.0


class Forgetting:
    """Looks for erasures many times a second, which costs the database next to nothing."""

    def __init__(self, repository: ForgettingRepository, galleries: Galleries) -> None:
        self._repository = repository
        self._galleries = galleries
        self._heard_s = monotonic()
        """When this Searcher last began to say, with success, that it is there."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Work for as long as the context lasts. Raises DatabaseUnavailable."""
        await self._report()
        tasks = [asyncio.create_task(self._look()), asyncio.create_task(self._guard())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._galleries.evict("stopped")
            await self._galleries.wiped()
            with suppress(FacePassError):
                await self._repository.leave()

    async def _look(self) -> None:
        while True:
            try:
                await self.forget()
                if monotonic() - self._heard_s >= _BEAT_S:
                    await self._report()
            except FacePassError:
                pass  # the guard knows since when
            except Exception:
                log.exception("forgetting failed", extra={"action": "forgetting_failed"})
            await asyncio.sleep(_LOOK_S)

    async def forget(self) -> None:
        """Drop from memory what was erased, then confirm it."""
        erasures = await self._repository.to_confirm()
        if not erasures:
            return
        for key in {key for _, key in erasures}:
            await self._galleries.forget(key)
        await self._repository.confirm([erasure_id for erasure_id, _ in erasures])

    async def _report(self) -> None:
        began_s = monotonic()
        if began_s - self._heard_s > ALONE_S:
            # An erasure may not have waited for this one: nothing is kept beyond such a time.
            self._galleries.evict("alone")
            await self._galleries.wiped()
        await self._repository.report()
        self._heard_s = began_s

    async def _guard(self) -> None:
        """Apart from what waits for the database."""
        while True:
            if monotonic() - self._heard_s > ALONE_S:
                self._galleries.evict("alone")
            await asyncio.sleep(_LOOK_S)
