"""Whether there is room for more photos."""

import asyncio
import logging
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from common.background import going_on
from common.errors import DatabaseUnavailable, OutOfSpace
from common.metrics import Metrics
from indexer.config import StorageSettings
from indexer.space_repository import SpaceRepository

log = logging.getLogger(__name__)
_INTERVAL_S = 1.0
_BACK = 0.05
"""How much more room there must be for photos to be taken again: a share of the volume, or of the
database's limit."""

_TOO_FULL = (
    "the disk of the database is nearly full; free space on it, or delete events, and send the "
    "photo again"
)
_TOO_LARGE = (
    "the database has grown to its limit; raise FACEPASS_STORAGE__MAX_DATABASE_BYTES, or delete "
    "events, and send the photo again"
)


class Space:
    """Watches the volume and the size of the database."""

    def __init__(
        self, settings: StorageSettings, repository: SpaceRepository, metrics: Metrics
    ) -> None:
        self._settings = settings
        self._repository = repository
        self._metrics = metrics
        self._volume_full = ""
        self._database_full = ""

    def require(self) -> None:
        """Raises OutOfSpace while photos are refused."""
        if full := self._volume_full or self._database_full:
            raise OutOfSpace(full)

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Watch for as long as the context lasts."""
        await self.look()
        async with going_on(self._run()):
            yield

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_INTERVAL_S)
            await self.look()

    async def look(self) -> None:
        """Look now."""
        before = self._volume_full or self._database_full
        if self._settings.folder:
            self._volume_full = await self._of_volume()
        if self._settings.max_database_bytes:
            self._database_full = await self._of_database()
        now = self._volume_full or self._database_full
        self._metrics.ingest_refused.set(int(bool(now)))
        if bool(now) != bool(before):
            if now:
                log.error("photos are refused: %s", now, extra={"action": "ingest_refused"})
            else:
                log.info("photos are taken again", extra={"action": "ingest_resumed"})

    async def _of_volume(self) -> str:
        settings = self._settings
        try:
            # In a thread: a network volume may take its time.
            usage = await asyncio.to_thread(shutil.disk_usage, settings.folder)
        except OSError as error:
            log.error("cannot look at the volume: %s", error, extra={"action": "volume_unknown"})
            return self._volume_full
        self._metrics.storage_free_bytes.set(usage.free)
        self._metrics.storage_bytes.set(usage.total)
        least = max(settings.min_free_share * usage.total, settings.min_free_bytes)
        if self._volume_full:
            least += _BACK * usage.total
        return _TOO_FULL if usage.free < least else ""

    async def _of_database(self) -> str:
        try:
            size = await self._repository.database_bytes()
        except (DatabaseUnavailable, OutOfSpace):
            return self._database_full
        self._metrics.database_bytes.set(size)
        most = self._settings.max_database_bytes
        if self._database_full:
            most = int(most * (1 - _BACK))
        return _TOO_LARGE if size > most else ""
