"""Removing backups that have been kept as long as receipts of erasures say."""

import shutil
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from common.errors import SetupError
from standalone.backup.backup_folder import UNFINISHED, BackupFolder, Series
from standalone.backup.base_backup import BaseBackup

MARGIN = timedelta(hours=1)
"""How much earlier than was promised, so that it is done by then."""


def prune(folder: BackupFolder, keep_days: int) -> list[Path]:
    """Remove base backups that are too old, whatever was archived before the oldest that stays,
    and what the journal tells of erasures before it; returns the backups removed.

    A receipt says: some days after no file of the database had it. What a base backup holds was in
    such a file after it was begun; so its age counts from there, and by the days that were promised
    when it was made, where these were fewer. Nobody else may make or remove backups meanwhile.
    """
    now, current = datetime.now(UTC), folder.current
    removed, oldest = [], now
    for series in folder.all_series():
        for left in series.folder.glob(f"*{UNFINISHED}"):
            shutil.rmtree(left)
        kept = []
        for begun, path in series.folders():
            if begun < now - _kept_for(path, keep_days):
                shutil.rmtree(path)
                removed.append(path)
            else:
                kept.append((begun, path))
        if kept:
            oldest = min(oldest, kept[0][0])
            _remove_log(series, kept[0][1])
        elif current is None or series.folder != current.folder:
            shutil.rmtree(series.folder)
        else:
            _remove_old_log(series, now - timedelta(days=keep_days) + MARGIN)
    # The clocks of the database and of this machine may differ.
    since = oldest - timedelta(days=1)
    folder.journal.prune(lambda entry: entry.create_time is None or entry.create_time > since)
    return removed


def _kept_for(path: Path, keep_days: int) -> timedelta:
    with suppress(SetupError):
        keep_days = min(keep_days, BaseBackup.at(path).record.keep_days)
    return timedelta(days=keep_days) - MARGIN


def _remove_log(series: Series, oldest: Path) -> None:
    with suppress(SetupError):
        series.wal.remove_before(BaseBackup.at(oldest).first_segment)


def _remove_old_log(series: Series, before: datetime) -> None:
    """Of a series that has no base backup any more, or none yet."""
    for segment in series.wal.segments():
        if series.wal.archived_at(segment) < before:
            series.wal.path(segment).unlink()
