"""What a standalone does about backups while it runs."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta

from common.errors import SetupError
from standalone.backup.archiving import Archiving
from standalone.backup.making import make_backup
from standalone.backup.pruning import prune
from standalone.data_dir import DataDir
from standalone.embedded import EmbeddedPostgres

log = logging.getLogger(__name__)
_LOOK_S = 60.0
_AFTER_FAILURE_S = 600.0
_BEHIND = timedelta(minutes=10)


class Keeping:
    """Makes base backups when they are due, removes old ones, and says where archiving does not
    go on."""

    def __init__(self, postgres: EmbeddedPostgres, data: DataDir, archive: Archiving) -> None:
        self._postgres = postgres
        self._data = data
        self._archive = archive

    async def keep(self) -> None:
        """Go on with it; never returns."""
        while True:
            pause_s = _LOOK_S
            try:
                await asyncio.to_thread(self.look)
            except (SetupError, OSError) as error:
                log.error("backup failed: %s", error, extra={"action": "backup_failed"})
                pause_s = _AFTER_FAILURE_S
            await asyncio.sleep(pause_s)

    def look(self) -> None:
        """Do now what is due. Raises SetupError, OSError."""
        self._tell_where_behind()
        if self._due():
            made = make_backup(self._postgres, self._data, self._archive, lambda done, of: None)
            log.info("backup made", extra={"action": "backup_made", "backup": str(made.folder)})
            return
        with self._archive.folder.held():
            for path in prune(self._archive.folder, self._archive.keep_days):
                log.info("backup removed", extra={"action": "backup_removed", "backup": str(path)})

    def _due(self) -> bool:
        backups = self._archive.series().folders()
        if not backups:
            return True
        age = datetime.now(UTC) - backups[-1][0]
        return 0 < self._archive.every_s < age.total_seconds()

    def _tell_where_behind(self) -> None:
        waiting = sorted((self._data.cluster / "pg_wal/archive_status").glob("*.ready"))
        times = [path.stat().st_mtime for path in waiting if path.exists()]
        if times and datetime.now(UTC) - datetime.fromtimestamp(min(times), UTC) > _BEHIND:
            log.error(
                "%s changes wait to be archived, and take up space; %s says why",
                len(times),
                self._data.logs,
                extra={"action": "archive_behind", "files": len(times)},
            )
