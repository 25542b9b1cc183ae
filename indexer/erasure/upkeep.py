"""What every Indexer removes in the background: events that expired, and what removed templates
left in the database's files."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic

from common.metrics import Metrics
from indexer.config import ErasureSettings, RetentionSettings
from indexer.erasure.event_removal_repository import ExpiredEvents
from indexer.erasure.journal import ErasureJournal
from indexer.erasure.receipt_repository import ReceiptRepository
from indexer.erasure.residue_repository import ResidueRepository
from indexer.graphs.curator import in_background
from indexer.graphs.drop_repository import RelationDrops

log = logging.getLogger(__name__)
_LOOK_S = 1.0
_STRAY_S = 86_400.0


class Upkeep:
    """Each step is a transaction of its own that another server, or this one after a crash, can go
    on from."""

    def __init__(
        self, expired: ExpiredEvents, receipts: ReceiptRepository, residue: ResidueRepository,
        drops: RelationDrops, journal: ErasureJournal | None, retention: RetentionSettings,
        erasure: ErasureSettings, metrics: Metrics,
    ) -> None:  # fmt: skip
        self._expired = expired
        self._receipts = receipts
        self._residue = residue
        self._drops = drops
        self._journal = journal
        self._retention = retention
        self._erasure = erasure
        self._metrics = metrics
        self._expire_s = self._wipe_s = 0.0
        self._told_privilege = False

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Work for as long as the context lasts."""

        async def wait() -> None:
            shortest = min(_LOOK_S, self._retention.interval_s, self._erasure.interval_s)
            await asyncio.sleep(shortest)

        async with in_background(self.tidy, wait):
            yield

    async def tidy(self) -> None:
        """Do now what is due."""
        await self._receipts.settle_all()
        if self._journal is not None:
            await self._receipts.journal(self._journal)
        now = monotonic()
        if now >= self._expire_s:
            self._expire_s = now + self._retention.interval_s
            await self.remove_expired()
        if now >= self._wipe_s:
            self._wipe_s = now + self._erasure.interval_s
            await self.wipe()

    async def remove_expired(self) -> None:
        """Remove every event that has expired, and every suppression that has ended."""
        while (found := await self._expired.remove_some()) is not None:
            name, gone = found
            if gone:
                await self._drops.drop(name.key)
                self._metrics.events_expired.inc()
                log.info(
                    "expired event removed",
                    extra={"action": "expired_event_removed", "event": str(name)},
                )
        await self._expired.remove_suppressions()
        await self._expired.remove_strays(_STRAY_S)

    async def wipe(self) -> None:
        """Overwrite what removed templates left, as far as nobody can see them any more."""
        if await self._may_vacuum():
            pages, done = await self._residue.wipe_faces()
            if done < pages:
                extra = {"action": "pages_not_wiped", "pages": pages - done}
                log.warning("pages not wiped; VACUUM FULL face would", extra=extra)
            await self._residue.wipe_suppressions()
            _, shards = await self._residue.wipe_shards()
            self._metrics.erasure_pages.inc(done + shards)
        if await self._residue.mark_wiped():
            await self._residue.checkpoint()
        for kind, seconds in await self._residue.mark_physical(self._erasure.backup_retention_days):
            self._metrics.erasure_seconds.labels(kind).observe(seconds)
        backlog = await self._residue.backlog()
        self._metrics.erasure_backlog_pages.set(backlog.pages)
        self._metrics.erasure_backlog_seconds.set(backlog.age_s)

    async def _may_vacuum(self) -> bool:
        may = await self._residue.may_vacuum()
        if not may and not self._told_privilege:
            self._told_privilege = True
            log.error(
                "this role may not vacuum, so erased templates stay in the database's files: "
                "docs/privacy.md says how to let it",
                extra={"action": "may_not_vacuum"},
            )
        return may
