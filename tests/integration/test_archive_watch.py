"""What is told of backups: an archive that stops and goes on, and how old the newest copy is."""

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest
from patience import PATIENCE_S, until
from pydantic import SecretStr

from common.config import DatabaseSettings
from common.db import log_archive
from common.db.log_archive import LogArchive, examine_archive
from common.db.migrate import migrate
from common.db.opening import open_database
from common.db.pool import Database
from common.metrics import Metrics
from indexer.archive_repository import ArchiveRepository
from indexer.archive_watch import ArchiveWatch
from standalone.backup.archiving import Archiving
from standalone.backup.backup_folder import BackupFolder
from standalone.backup.base_backup import RECORD
from standalone.backup.keeping import Keeping
from standalone.data_dir import DataDir
from standalone.doctor import Level, backups
from standalone.embedded import EmbeddedPostgres

FINISH = "SELECT pg_logical_emit_message(true, 'test', 'x'), pg_switch_wal()"
pytestmark = pytest.mark.timeout(5 * PATIENCE_S)


@pytest.fixture(scope="module")
def archive() -> Iterator[Archiving]:
    """Not below pytest's own folder: Postgres' user, when we are root, may not pass through it."""
    folder = Path(tempfile.mkdtemp(prefix="facepass-archive-"))
    folder.chmod(0o711)
    yield Archiving(BackupFolder(folder / "backups"), timeout_s=1, keep_days=30, every_s=3600)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def archived(archive: Archiving) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(archive.folder.root.with_name("data"), archive) as running:
        yield running


@pytest.fixture
async def database(archived: EmbeddedPostgres) -> AsyncIterator[Database]:
    """As the servers' role sees it."""
    await migrate(archived.owner_dsn)
    async with open_database(DatabaseSettings(dsn=SecretStr(archived.server_dsn))) as opened:
        yield opened


def value(metrics: Metrics, name: str) -> float:
    found = metrics.registry.get_sample_value(f"facepass_{name}")
    assert found is not None
    return found


async def test_an_archive_that_stops_is_told_and_that_it_goes_on(
    archived: EmbeddedPostgres, archive: Archiving, database: Database,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setattr(log_archive, "BEHIND_S", 0.5)
    caplog.set_level("INFO")
    metrics, wal = Metrics(), archive.series().wal.folder
    watch = ArchiveWatch(ArchiveRepository(database), metrics)
    superuser = await asyncpg.connect(archived.superuser_dsn)

    async def look_until(waiting_files: int, *, finished: int) -> None:
        """Finish files, then look until so many wait."""
        for _ in range(finished):
            await superuser.fetch(FINISH)
        deadline = time.monotonic() + PATIENCE_S
        while True:
            await watch.look()
            files = value(metrics, "archive_waiting_files")
            seconds = value(metrics, "archive_waiting_seconds")
            if files == waiting_files and (seconds > 0.5 if waiting_files else seconds == 0):
                return
            assert time.monotonic() < deadline, (files, seconds)
            await asyncio.sleep(0.2)

    await look_until(0, finished=1)
    assert value(metrics, "archive_on") == 1
    caplog.clear()
    away = wal.rename(wal.with_name("away"))
    await look_until(3, finished=3)
    assert told(caplog) == ["archive_behind"]
    assert value(metrics, "archive_waiting_seconds") < PATIENCE_S
    away.rename(wal)
    # A new file wakes the archiver, which pauses after failures.
    await look_until(0, finished=1)
    assert told(caplog) == ["archive_behind", "archive_goes_on"]
    await superuser.close()


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged of the archive."""
    actions = (str(getattr(record, "action", "")) for record in caplog.records)
    return [action for action in actions if action.startswith("archive")]


async def test_the_age_of_the_newest_backup_is_told(
    archived: EmbeddedPostgres, archive: Archiving
) -> None:
    metrics, begun = Metrics(), time.time()
    keeping = Keeping(archived, DataDir.at(archived.data_dir), archive, metrics)
    assert doctors(archive) == [Level.WARN]
    await asyncio.to_thread(keeping.look)
    # The name of a backup holds whole seconds.
    assert begun - 1 < value(metrics, "backup_time_seconds") <= time.time()
    assert doctors(archive) == [Level.OK]
    assert doctors(replace(archive, every_s=0.001)) == [Level.WARN]
    ((_, newest),) = archive.series().folders()
    (newest / RECORD).write_text("damaged")
    assert archive.newest() is None
    # Where nothing says any more which backups are this folder's, none can be made.
    (archive.folder.root / "current.json").unlink()
    task = asyncio.create_task(keeping.keep())
    await until(lambda: value(metrics, "backup_failures_total") == 1)
    task.cancel()
    assert value(metrics, "backup_time_seconds") == 0
    assert value(metrics, "backup_max_age_seconds") == 1.5 * archive.every_s


def doctors(archive: Archiving) -> list[Level]:
    """What the doctor says of base backups, where the archive is well."""
    found = backups.check_embedded(archive, LogArchive(archives=True, files=0, waiting_s=0))
    return [each.level for each in found if each.subject == "backup"]


async def test_what_is_not_archived_waits_for_nothing(postgres: EmbeddedPostgres) -> None:
    connection = await asyncpg.connect(postgres.server_dsn)
    found = await examine_archive(connection)
    await connection.close()
    assert found == LogArchive(archives=False, files=0, waiting_s=0)
    assert backups.check_archive(found).level is Level.WARN
    (none,) = backups.check_embedded(None, found)
    assert none.level is Level.WARN and "FACEPASS_BACKUP__FOLDER" in none.advice


def test_the_doctor_says_for_how_long_an_archive_has_stood_still() -> None:
    found = backups.check_archive(LogArchive(archives=True, files=12, waiting_s=5400))
    assert found.level is Level.WARN and "1.5 hours, and 12 files" in found.text
    assert backups.check_archive(LogArchive(True, 1, 30)).level is Level.OK
