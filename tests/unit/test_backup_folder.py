"""The folder of backups: whose it is, and what is removed when."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from common.errors import SetupError
from indexer.config import BackupSettings, ErasureSettings, IndexerSettings
from indexer.erasure.erasures import Kind
from indexer.erasure.journal import Entry
from standalone.backup.archiving import archiving
from standalone.backup.backup_folder import BackupFolder, Series
from standalone.backup.base_backup import RECORD, BaseBackup, Record
from standalone.backup.pruning import prune
from standalone.backup.wal_archive import Segment
from standalone.config import WrongSetting
from standalone.data_dir import DataDir
from standalone.system_user import PostgresUser

NOW = datetime.now(UTC).replace(microsecond=0)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def data_dir(root: Path) -> DataDir:
    """As of a process that runs Postgres as itself."""
    ours = PostgresUser.for_this_process()
    user = PostgresUser("me", root.parent.stat().st_uid, root.parent.stat().st_gid, switches=False)
    root.mkdir(exist_ok=True)
    return DataDir(root, user if ours.switches else ours)


@pytest.fixture
def data(tmp_path: Path) -> DataDir:
    return data_dir(tmp_path / "data")


@pytest.fixture
def folder(tmp_path: Path) -> BackupFolder:
    return BackupFolder(tmp_path / "backups")


def put(series: Series, begun: datetime, *, keep_days: int = 30, segment: int = 1) -> Path:
    """A base backup that is nothing but its record."""
    place = series.place(begun)
    place.mkdir()
    lsn = f"0/{segment * 0x1000000 + 0x28:X}"
    record = Record(begun, begun + HOUR, keep_days, "/data", 1, 1, lsn, lsn, {})
    (place / RECORD).write_text(record.text())
    return place


def archive(series: Series, *numbers: int) -> None:
    for number in numbers:
        series.wal.path(Segment(1, number)).touch()


def test_a_data_folder_goes_on_with_its_series(folder: BackupFolder, data: DataDir) -> None:
    series = folder.begin(data)
    assert folder.begin(data) == series == folder.current
    assert folder.root.stat().st_mode & 0o777 == series.folder.stat().st_mode & 0o777 == 0o700
    # Started once without archiving, it has changes that the archive lacks.
    data.series.unlink()
    assert folder.begin(data) != series
    assert len(folder.all_series()) == 2


def test_two_data_folders_do_not_share_one(folder: BackupFolder, data: DataDir) -> None:
    series = folder.begin(data)
    other = data_dir(data.root.with_name("other"))
    with pytest.raises(SetupError, match="takes the backups of"):
        folder.begin(other)
    data.series.unlink()
    data.root.rmdir()
    assert folder.begin(other) != series


def test_it_is_not_lost_with_the_data(data: DataDir) -> None:
    with pytest.raises(SetupError, match="inside the data folder"):
        BackupFolder(data.root / "backups").begin(data)


def test_one_at_a_time(folder: BackupFolder, data: DataDir) -> None:
    folder.begin(data)
    with folder.held(), pytest.raises(SetupError, match="in use by another"), folder.held():
        raise AssertionError
    with folder.held():
        pass


def test_none_is_kept_longer_than_receipts_say(folder: BackupFolder, data: DataDir) -> None:
    series = folder.begin(data)
    old = put(series, NOW - 30 * DAY + HOUR / 2, segment=2)
    young = put(series, NOW - 30 * DAY + 2 * HOUR, segment=4)
    promised_less = put(series, NOW - 8 * DAY, keep_days=7, segment=5)
    put(series, NOW - DAY, segment=7)
    unfinished = series.place(NOW).with_suffix(".new")
    unfinished.mkdir()
    archive(series, 1, 2, 3, 4, 5, 6, 7, 8)
    assert prune(folder, 30) == [old, promised_less]
    assert [path for _, path in series.folders()] == [young, series.place(NOW - DAY)]
    assert [each.number for each in series.wal.segments()] == [4, 5, 6, 7, 8]
    assert not unfinished.exists()
    assert prune(folder, 2) == [young]
    assert [each.number for each in series.wal.segments()] == [7, 8]


def test_a_damaged_one_is_removed_in_time_too(folder: BackupFolder, data: DataDir) -> None:
    series = folder.begin(data)
    old = put(series, NOW - 31 * DAY)
    (old / RECORD).write_text("no")
    assert prune(folder, 30) == [old]


def test_a_former_series_goes_with_its_last_backup(folder: BackupFolder, data: DataDir) -> None:
    former = folder.begin(data)
    put(former, NOW - 31 * DAY)
    archive(former, 1, 2)
    data.series.unlink()
    current = folder.begin(data)
    archive(current, 1)
    prune(folder, 30)
    assert folder.all_series() == [current]
    assert len(current.wal.segments()) == 1


def test_the_journal_is_kept_as_long_as_a_backup_needs_it(
    folder: BackupFolder, data: DataDir
) -> None:
    def entry(time: datetime) -> Entry:
        return Entry(
            uuid4(), Kind.FACE, "gala", uuid4(), "", 0, 1, b"", None, time, (), (1,)
        )  # fmt: skip

    series = folder.begin(data)
    put(series, NOW - 31 * DAY)
    put(series, NOW - 10 * DAY)
    gone, needed = entry(NOW - 20 * DAY), entry(NOW - 9 * DAY)
    folder.journal.append([gone, needed])
    prune(folder, 30)
    assert folder.journal.read() == [needed]


def test_receipts_must_know_of_backups(tmp_path: Path) -> None:
    backup = BackupSettings(folder=str(tmp_path))
    with pytest.raises(WrongSetting, match="BACKUP_RETENTION_DAYS is 0"):
        archiving(IndexerSettings(backup=backup))
    assert archiving(IndexerSettings()) is None
    week = IndexerSettings(backup=backup, erasure=ErasureSettings(backup_retention_days=1))
    found = archiving(week)
    # There is always a younger one before the oldest is removed.
    assert found is not None and found.every_s == 12 * 3600


def test_every_flipped_bit_of_a_record_is_noticed(folder: BackupFolder, data: DataDir) -> None:
    path = put(folder.begin(data), NOW) / RECORD
    whole = path.read_bytes()
    assert json.loads(whole)
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 1 << (place % 8)
        path.write_bytes(changed)
        with pytest.raises(SetupError, match="is damaged"):
            BaseBackup.at(path.parent)
