"""Work in the background: graphs are built and renewed, what was left is cleared away."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from common.background import going_on
from common.errors import DatabaseUnavailable, EventNotFound, OutOfSpace
from common.metrics import Metrics
from indexer.config import PromotionSettings
from indexer.graphs.curator_repository import CuratorRepository
from indexer.graphs.operation_repository import OperationQueue
from indexer.graphs.operations import Claim, Failure, Progress, Strategy, Superseded
from indexer.graphs.promotion import Promotion

log = logging.getLogger(__name__)
_FAILED, _OUT_OF_SPACE = "failed", "out_of_space"


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a server says that it still works on an operation, for how long without that others
    leave it alone, and when an event is tried again after a failure. Seconds."""

    beat_s: float = 2.0
    stale_s: float = 15.0
    retry_s: float = 600.0


class Curator:
    """Works on operations, one at a time, and queues them for events that are due."""

    def __init__(
        self, repository: CuratorRepository, queue: OperationQueue, promotion: Promotion,
        settings: PromotionSettings, metrics: Metrics, pace: Pace,
    ) -> None:  # fmt: skip
        self._repository = repository
        self._queue = queue
        self._promotion = promotion
        self._settings = settings
        self._metrics = metrics
        self._pace = pace
        self._woken = asyncio.Event()
        # An increase is told only of what was there before.
        for outcome in (_FAILED, _OUT_OF_SPACE):
            metrics.promotions.labels(outcome)

    def wake(self) -> None:
        """Look for work now."""
        self._woken.set()

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Work for as long as the context lasts, where the settings say so."""
        if not self._settings.enabled:
            yield
            return
        try:
            async with in_background(self._round, self._wait):
                yield
        finally:
            with suppress(DatabaseUnavailable):
                await self._queue.release()

    async def _wait(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.interval_s):
                await self._woken.wait()
        self._woken.clear()

    async def _round(self) -> None:
        due = await self._repository.due(self._settings)
        if due:
            await self._queue.put(due, self._pace.retry_s)
        while (claim := await self._queue.claim()) is not None:
            if not await self._work(claim):
                return

    async def _work(self, claim: Claim) -> bool:
        """Work on one operation; False where another attempt should wait a while."""
        outcome = _FAILED
        try:
            result = await self._watched(claim)
            outcome = result.value.lower()
            await self._queue.finish(claim, result)
        except Superseded:
            outcome = "superseded"
            return False
        except EventNotFound as error:
            outcome = "event_gone"
            await self._queue.finish(claim, Failure(error.reason, error.message))
        except OutOfSpace as error:
            outcome = _OUT_OF_SPACE
            log.error(error.message, extra={"action": outcome, "event": str(claim.event)})
            await self._queue.finish(claim, Failure(error.reason, error.message))
        except (DatabaseUnavailable, asyncio.CancelledError):
            outcome = "interrupted"
            raise
        except Exception:
            extra = {"action": "promotion_failed", "event": str(claim.event)}
            log.exception("promotion failed", extra=extra)
            await self._queue.finish(claim, Failure("INTERNAL", "internal error"))
        finally:
            self._metrics.promotions.labels(outcome).inc()
        return True

    async def _watched(self, claim: Claim) -> Strategy:
        """Do the work, saying all the while that it goes on. Raises what it raises, or Superseded
        once another server has it."""
        progress = Progress()
        work = asyncio.create_task(self._promotion.run(claim, progress))
        try:
            while not work.done():
                await asyncio.wait([work], timeout=self._pace.beat_s)
                if not work.done() and not await self._queue.report(claim, progress):
                    raise Superseded
        finally:
            # Cancelled too when this server is told to stop, or loses its database.
            work.cancel()
            await asyncio.wait([work])
        return work.result()


@asynccontextmanager
async def in_background(
    work: Callable[[], Awaitable[None]], wait: Callable[[], Awaitable[None]]
) -> AsyncIterator[None]:
    """Do `work` again and again with a `wait` in between, whatever becomes of it, for as long as
    the context lasts."""

    async def run() -> None:
        while True:
            try:
                await work()
            except DatabaseUnavailable:
                log.warning(
                    "no database for work in the background", extra={"action": "no_database"}
                )
            except Exception:
                log.exception("work in the background failed", extra={"action": "work_failed"})
            await wait()

    async with going_on(run()):
        yield
