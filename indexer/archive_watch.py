"""Telling whether every change is archived in time, by whatever archives them."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from common.metrics import Metrics
from indexer.archive_repository import ArchiveRepository
from indexer.graphs.curator import in_background

log = logging.getLogger(__name__)
_INTERVAL_S = 10.0


class ArchiveWatch:
    """Looks at the archive of Postgres' log every ten seconds."""

    def __init__(self, repository: ArchiveRepository, metrics: Metrics) -> None:
        self._repository = repository
        self._metrics = metrics
        self._behind = False

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Watch for as long as the context lasts."""

        async def wait() -> None:
            await asyncio.sleep(_INTERVAL_S)

        async with in_background(self.look, wait):
            yield

    async def look(self) -> None:
        """Look now. Raises DatabaseUnavailable."""
        found = await self._repository.state()
        self._metrics.archive_on.set(int(found.archives))
        self._metrics.archive_waiting_files.set(found.files)
        self._metrics.archive_waiting_seconds.set(found.waiting_s)
        if found.behind and not self._behind:
            log.error(
                "nothing has been archived for %.0f s: what waits takes up space, and Postgres' "
                "log says why",
                found.waiting_s,
                extra={"action": "archive_behind", "files": found.files},
            )
        elif self._behind and not found.behind:
            log.info("all changes are archived", extra={"action": "archive_goes_on"})
        self._behind = found.behind
