"""What tests of backups share: a standalone that is backed up, and is lost with its disk."""

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from patience import until
from postgres_family import Fault, PostgresFamily
from server_process import ServerProcess

from standalone.backup.backup_folder import BackupFolder, Series

KEPT = {
    "FACEPASS_ERASURE__BACKUP_RETENTION_DAYS": "30",
    "FACEPASS_BACKUP__ARCHIVE_TIMEOUT_S": "1",
}


@dataclass
class BackedUp:
    """A standalone, its data and its backups, below `folder`, which Postgres' user must reach."""

    folder: Path

    def __post_init__(self) -> None:
        self.data, self.backups = self.folder / "data", self.folder / "backups"
        variables = {**KEPT, "FACEPASS_BACKUP__FOLDER": str(self.backups)}
        self.variables = {
            name.removeprefix("FACEPASS_"): value for name, value in variables.items()
        }
        self.server = self.on(self.data)
        self.template_keys = self.folder / "template_keys"

    def on(self, data: Path, variables: dict[str, str] | None = None) -> ServerProcess:
        """A standalone on some data folder."""
        given = self.variables if variables is None else variables
        return ServerProcess(
            "standalone", data.with_suffix(".runs"), f"--data-dir={data}", variables=given
        )

    async def first_backup(self) -> None:
        """Wait for the one that is made by itself."""
        await until(lambda: any(series.folders() for series in self._series()))

    async def archived(self) -> None:
        """Wait until all that was committed by now is in the archive."""
        now = datetime.now(UTC)

        def done() -> bool:
            (series,) = self._series()
            newest = series.wal.segments()[-1]
            return series.wal.archived_at(newest) > now

        # The first that comes may have been begun before.
        for _ in range(2):
            await until(done)
            now = datetime.now(UTC)

    def _series(self) -> list[Series]:
        folder = BackupFolder(self.backups)
        current = folder.current
        return [current] if current is not None else []

    def lose(self, kill: Callable[[], object]) -> None:
        """Kill everything at once, and remove the data. The templates' keys are kept elsewhere."""
        kill()
        shutil.copy(self.data / "template_keys", self.template_keys)
        PostgresFamily(self.data).strike(Fault.GROUP, random.Random())
        shutil.rmtree(self.data)
