"""Restoring a data folder, with nobody in it that was erased since."""

import asyncio
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic import SecretStr

from common.config import DatabaseSettings
from common.db.events import EventReader, PackRegistry
from common.db.migrate import migrate
from common.db.opening import open_database
from common.errors import SetupError
from indexer.erasure.journal import Entry
from indexer.erasure.reapply_repository import Reapplying
from standalone.backup.backup_folder import BackupFolder
from standalone.backup.base_backup import MANIFEST, RECORD, BaseBackup
from standalone.backup.wal_archive import WalArchive
from standalone.binaries import Binaries
from standalone.cluster import Cluster
from standalone.data_dir import DataDir, write_private
from standalone.embedded import EmbeddedPostgres

Say = Callable[[str], None]
_TOO_LATE = "recovery ended before configured recovery target was reached"
_REACHED = re.compile(r"last completed transaction was at log time (.+)")
_COPY = "postgres.copy"


@dataclass(frozen=True, slots=True)
class Restored:
    """What came of it. erased: erasures that were made again. last_change: when the last
    transaction in it was committed; empty where Postgres does not say."""

    last_change: str
    erased: tuple[Entry, ...]


def choose(source: Path, until: datetime | None, say: Say) -> BaseBackup:
    """The base backup itself, or of a folder of them the newest that was ended by then. Raises
    SetupError."""
    if (source / RECORD).exists():
        backup = BaseBackup.at(source)
        if until is not None and until < backup.record.end_time:
            raise SetupError(f"{source} was ended at {backup.record.end_time:%FT%TZ}, after that")
        return backup
    all_series = BackupFolder(source).all_series()
    folders = sorted(each for series in all_series for each in series.folders())
    ends = []
    for _, path in reversed(folders):
        try:
            backup = BaseBackup.at(path)
        except SetupError as error:
            say(f"Passing one over: {error.message}")
            continue
        if until is None or backup.record.end_time <= until:
            return backup
        ends.append(f"{backup.record.end_time:%FT%TZ}")
    raise SetupError(f"{source} has no backup that was ended by then (ended: {', '.join(ends)})")


def restore(source: Path, target: Path, until: datetime | None, say: Say) -> Restored:
    """Restore into a new folder, to the last archived change or to a time. Blocks.

    Raises SetupError; what is in `target` then is started by nobody.
    """
    backup = choose(source.expanduser().absolute(), until, say)
    folder = BackupFolder(backup.folder.parents[1])
    data = DataDir.at(target)
    if data.root.exists() and any(data.root.iterdir()):
        raise SetupError(f"{data.root} is not empty; choose a new folder")
    if not folder.journal.path.exists():
        raise SetupError(
            f"{folder.journal.path} is missing, which says who was erased since: keep a backup in "
            "the folder that it was made in"
        )
    with folder.held():
        entries = folder.journal.read()
        say(f"Checking {backup.folder}")
        _require_whole(backup, until)
        say(f"Restoring it to {data.root}")
        lock = data.take()
        try:
            write_private(data.unfinished, json.dumps({"backup": str(backup.folder)}) + "\n")
            _copy(backup.folder, data)
            _recover(data, backup.wal, until, say)
        except OSError as error:
            raise SetupError(f"cannot restore to {data.root}: {error}") from error
        finally:
            lock.release()
    say(f"Making {len(entries)} erasures again, as far as they are missing")
    missing = asyncio.run(_finish(data, entries))
    data.unfinished.unlink()
    return Restored(_last_change(data), tuple(missing))


def _require_whole(backup: BaseBackup, until: datetime | None) -> None:
    """Raises SetupError saying what to do instead."""
    if problems := backup.problems():
        raise SetupError(f"{problems[0]}; name another one to restore")
    wal, first = backup.wal, backup.first_segment
    followed = wal.followed(first, until)
    problems = [*wal.gaps(first, followed), *wal.damage(map(wal.path, followed))]
    if problems:
        raise SetupError(
            f"{problems[0]}: changes cannot be followed over that; restore to a time before it, "
            "with --until"
        )


def _copy(source: Path, data: DataDir) -> None:
    copy = data.root / _COPY
    shutil.copytree(source, copy, symlinks=True, ignore=shutil.ignore_patterns(RECORD, MANIFEST))
    for path in (copy, *copy.rglob("*")):
        data.user.own(path)
    copy.chmod(0o700)
    copy.rename(data.cluster)


def _recover(data: DataDir, wal: WalArchive, until: datetime | None, say: Say) -> None:
    """Let Postgres follow the log to its end or to a time."""
    if wal.folder.exists() and data.user.switches and not data.user.may("-r", wal.folder):
        raise SetupError(
            f"user {data.user.name!r}, as which Postgres runs, may not read {wal.folder}; allow it "
            f"with: chown -R {data.user.name} {wal.folder.parent}"
        )
    settings = {
        "archive_mode": "off",
        # Nobody is to look at it before it is done.
        "hot_standby": "off",
        "restore_command": wal.restore_command(),
        "recovery_target_action": "promote",
    }
    binaries = Binaries.for_data_dir(data)
    (data.cluster / "recovery.signal").touch(mode=0o600)
    data.user.own(data.cluster / "recovery.signal")
    at_time = {"recovery_target_time": until.isoformat()} if until is not None else {}
    cluster = Cluster(data, binaries, {**settings, **at_time})
    try:
        cluster.recover()
    except SetupError as error:
        if until is None or _TOO_LATE not in error.message:
            raise
        say(f"Nothing was archived of the time after {until.isoformat()}: restoring all there is")
        cluster = Cluster(data, binaries, settings)
        cluster.recover()
    cluster.stop()


async def _finish(data: DataDir, entries: list[Entry]) -> list[Entry]:
    """Bring the restored database up to date and make erasures again; returns those that were
    missing."""
    postgres = EmbeddedPostgres(data.root, restoring=True)
    await asyncio.to_thread(postgres.start)
    try:
        await migrate(postgres.owner_dsn)
        return await reapply(DatabaseSettings(dsn=SecretStr(postgres.server_dsn)), entries)
    finally:
        await asyncio.to_thread(postgres.stop)


async def reapply(settings: DatabaseSettings, entries: Iterable[Entry]) -> list[Entry]:
    """Make erasures again in a restored database; returns those that were missing. Raises
    SetupError."""
    async with open_database(settings) as database:
        reapplying = Reapplying(database, EventReader(PackRegistry()))
        return [entry for entry in entries if await reapplying.apply(entry)]


def _last_change(data: DataDir) -> str:
    logs = sorted(data.logs.glob("*.log"), key=os.path.getmtime)
    found = [_REACHED.findall(path.read_text(errors="replace")) for path in logs]
    return next((times[-1] for times in reversed(found) if times), "")
