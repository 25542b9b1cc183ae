"""Archiving all changes of an embedded Postgres as they come."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from common.errors import SetupError
from indexer.config import IndexerSettings
from standalone.backup.backup_folder import BackupFolder, Series
from standalone.backup.base_backup import BaseBackup
from standalone.config import WrongSetting
from standalone.data_dir import DataDir

_DAY_S = 86_400.0
_LATE = 1.5
"""Intervals after which the next base backup is overdue."""


@dataclass(frozen=True, slots=True)
class Archiving:
    """Where to, how soon, and for how long."""

    folder: BackupFolder
    timeout_s: int
    keep_days: int
    every_s: float
    """Seconds between base backups; 0: the first alone."""

    def begin(self, data: DataDir) -> dict[str, str]:
        """Settings of a Postgres that is started on a data folder. Raises SetupError."""
        return self.folder.begin(data).wal.settings(self.timeout_s)

    @property
    def max_age_s(self) -> float:
        """From which the newest base backup is too old."""
        return _LATE * self.every_s if self.every_s else self.keep_days * _DAY_S / 2

    def newest(self) -> datetime | None:
        """When the newest base backup with a record was begun; None where there is none."""
        current = self.folder.current
        for begun, path in reversed(current.folders() if current is not None else []):
            with suppress(SetupError):
                BaseBackup.at(path)
                return begun
        return None

    def series(self) -> Series:
        """The one that is gone on with."""
        current = self.folder.current
        if current is None:
            raise SetupError(f"{self.folder.root} was not begun, or its backups were removed")
        return current


def archiving(settings: IndexerSettings, folder: Path | None = None) -> Archiving | None:
    """What the settings say; None where they name no folder, and none is given in its place.

    Raises WrongSetting where they do not say for how long.
    """
    if folder is None and not settings.backup.folder:
        return None
    days = settings.erasure.backup_retention_days
    if not days:
        raise WrongSetting(
            "FACEPASS_ERASURE__BACKUP_RETENTION_DAYS is 0, which tells whoever asks for a receipt "
            "that there are no backups: set it to the days that they are to be kept, such as 30"
        )
    every_s = min(settings.backup.every_hours * 3600, days * _DAY_S / 2)
    place = BackupFolder(folder if folder is not None else Path(settings.backup.folder))
    return Archiving(place, settings.backup.archive_timeout_s, days, every_s)
