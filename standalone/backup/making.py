"""Making a base backup of a Postgres that runs."""

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from common.errors import SetupError
from standalone.backup.archiving import Archiving
from standalone.backup.backup_folder import UNFINISHED
from standalone.backup.base_backup import (
    MANIFEST,
    RECORD,
    WAL,
    BaseBackup,
    Record,
    manifest_files,
    read_manifest,
    sha256_of,
)
from standalone.backup.pruning import prune
from standalone.data_dir import DataDir, write_private
from standalone.embedded import EmbeddedPostgres

Told = Callable[[int, int], None]
"""Takes bytes that are copied, and of how many, every now and then."""
_LOOK_S = 0.5


def make_backup(
    postgres: EmbeddedPostgres, data: DataDir, archive: Archiving, told: Told
) -> BaseBackup:
    """Remove what has been kept long enough; then make, check and name one. Blocks.

    Raises SetupError, with nothing left that could be taken for a backup.
    """
    with archive.folder.held():
        prune(archive.folder, archive.keep_days)
        series, begun = archive.series(), datetime.now(UTC)
        place = series.place(begun)
        unfinished = place.with_name(place.name + UNFINISHED)
        try:
            with _watched(data.cluster, unfinished, told):
                postgres.base_backup(unfinished)
            _record(unfinished, data, begun, archive.keep_days)
            if problems := BaseBackup.at(unfinished).problems():
                raise SetupError(f"the backup is not whole: {problems[0]}")
            made = BaseBackup.at(unfinished).record
            postgres.read_log(unfinished / WAL, made.timeline, made.start_lsn, made.end_lsn)
            unfinished.rename(place)
        except OSError as error:
            raise SetupError(f"cannot write the backup: {error}") from error
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        return BaseBackup.at(place)


def _record(folder: Path, data: DataDir, begun: datetime, keep_days: int) -> None:
    manifest = read_manifest(folder / MANIFEST)
    # A base backup of a server that was never a standby has one part.
    (part,) = manifest["WAL-Ranges"]
    listed = manifest_files(manifest)
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
    files = {name: path for name, path in paths.items() if path.is_file()}
    record = Record(
        start_time=begun,
        end_time=datetime.now(UTC),
        keep_days=keep_days,
        data_dir=str(data.root),
        size_bytes=sum(path.stat().st_size for path in files.values()),
        timeline=part["Timeline"],
        start_lsn=part["Start-LSN"],
        end_lsn=part["End-LSN"],
        sha256={name: sha256_of(path) for name, path in files.items() if name not in listed},
    )
    write_private(folder / RECORD, record.text(), data.user)


@contextmanager
def _watched(source: Path, target: Path, told: Told) -> Iterator[None]:
    """Tell how far a copy is for as long as the context lasts."""
    total, done = _size(source), threading.Event()

    def watch() -> None:
        while not done.wait(_LOOK_S):
            told(_size(target), total)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _size(folder: Path) -> int:
    size = 0
    for path in folder.rglob("*"):
        with suppress(OSError):  # Postgres makes and removes files all the time
            size += path.stat().st_size if path.is_file() else 0
    return size
