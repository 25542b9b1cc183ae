"""What every Indexer clears away and looks after, whether it builds graphs or not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic

from common.metrics import Metrics
from indexer.config import PromotionSettings
from indexer.graphs.curator import in_background
from indexer.graphs.curator_repository import CuratorRepository
from indexer.graphs.drop_repository import RelationDrops
from indexer.graphs.operation_repository import OperationQueue
from indexer.graphs.operations import Superseded
from indexer.graphs.recall import RecallWatch

TOMBSTONE_AGE_S = 86_400.0
OPERATION_AGE_S = 7 * 86_400.0
_SELDOM_S = 600.0
_STOCK_S = 60.0
_STATES = ("BUILDING", "CLEANING", "SERVING", "DROPPING")


class Housekeeping:
    """Drops relations that nobody uses, forgets what is old, and watches the recall of graphs."""

    def __init__(
        self, repository: CuratorRepository, drops: RelationDrops, queue: OperationQueue,
        recall: RecallWatch, settings: PromotionSettings, metrics: Metrics,
    ) -> None:  # fmt: skip
        self._repository = repository
        self._drops = drops
        self._queue = queue
        self._recall = recall
        self._settings = settings
        self._metrics = metrics
        self._seldom_s = 0.0
        self._stock_s = 0.0
        self._recall_s = monotonic() + settings.recall_interval_s
        self._measured = -1

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Work for as long as the context lasts."""

        async def wait() -> None:
            await asyncio.sleep(self._settings.interval_s)

        async with in_background(self.tidy, wait):
            yield

    async def tidy(self) -> None:
        """Do now what is to be done."""
        await self._drops.give_up_orphans()
        await self._drops.drop()
        counts = await self._drops.counts()
        for state in _STATES:
            self._metrics.relations.labels(state.lower()).set(counts.get(state, 0))
        now = monotonic()
        if now >= self._stock_s:
            self._stock_s = now + _STOCK_S
            await self._tell_stock()
        if now >= self._recall_s:
            self._recall_s = now + self._settings.recall_interval_s
            await self._measure_one()
        if now >= self._seldom_s:
            self._seldom_s = now + _SELDOM_S
            await self._repository.forget_tombstones(TOMBSTONE_AGE_S)
            await self._queue.forget(OPERATION_AGE_S)

    async def _tell_stock(self) -> None:
        stock, metrics = await self._repository.stock(), self._metrics
        metrics.events.set(stock.events)
        metrics.faces_stored.labels("shared").set(stock.shared_faces)
        metrics.faces_stored.labels("own").set(stock.own_faces)
        metrics.promotions_open.labels("queued").set(stock.queued)
        metrics.promotions_open.labels("running").set(stock.running)

    async def _measure_one(self) -> None:
        event = await self._repository.promoted_after(self._measured)
        self._measured = event.name.key if event is not None else -1
        if event is not None:
            try:
                await self._recall.remeasure(event)
            except Superseded:
                return
