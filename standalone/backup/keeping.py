"""What a standalone does about backups while it runs."""

import asyncio
import logging
from datetime import UTC, datetime

from common.errors import SetupError
from common.metrics import Metrics
from standalone.backup.archiving import Archiving
from standalone.backup.making import make_backup
from standalone.backup.pruning import prune
from standalone.data_dir import DataDir
from standalone.embedded import EmbeddedPostgres

log = logging.getLogger(__name__)
_LOOK_S = 60.0
_AFTER_FAILURE_S = 600.0


class Keeping:
    """Makes base backups when they are due, removes old ones, and tells how old the newest is."""

    def __init__(
        self, postgres: EmbeddedPostgres, data: DataDir, archive: Archiving, metrics: Metrics
    ) -> None:
        self._postgres = postgres
        self._data = data
        self._archive = archive
        self._metrics = metrics

    async def keep(self) -> None:
        """Go on with it; never returns."""
        self._metrics.backup_max_age.set(self._archive.max_age_s)
        while True:
            pause_s = _LOOK_S
            try:
                await asyncio.to_thread(self.look)
            except (SetupError, OSError) as error:
                log.error("backup failed: %s", error, extra={"action": "backup_failed"})
                self._metrics.backup_failures.inc()
                pause_s = _AFTER_FAILURE_S
            await asyncio.sleep(pause_s)

    def look(self) -> None:
        """Do now what is due. Raises SetupError, OSError."""
        begun = self._archive.newest()
        self._tell(begun)
        if begun is None or self._due(begun):
            made = make_backup(self._postgres, self._data, self._archive, lambda done, of: None)
            log.info("backup made", extra={"action": "backup_made", "backup": str(made.folder)})
            self._tell(made.record.start_time)
            return
        with self._archive.folder.held():
            for path in prune(self._archive.folder, self._archive.keep_days):
                log.info("backup removed", extra={"action": "backup_removed", "backup": str(path)})

    def _due(self, begun: datetime) -> bool:
        age = datetime.now(UTC) - begun
        return 0 < self._archive.every_s < age.total_seconds()

    def _tell(self, begun: datetime | None) -> None:
        self._metrics.backup_time.set(begun.timestamp() if begun is not None else 0)
