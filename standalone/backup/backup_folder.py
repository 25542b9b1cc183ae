"""The folder of backups: a series for each data folder, the journal of erasures for all of them."""

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from common.errors import SetupError
from indexer.erasure.journal import ErasureJournal
from standalone.backup.base_backup import ARCHIVE
from standalone.backup.wal_archive import WalArchive
from standalone.data_dir import DataDir, write_private

UNFINISHED = ".new"
_CURRENT, _LOCK, _JOURNAL = "current.json", "backup.lock", "erasures.jsonl"
_NAME = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True)
class Series:
    """What was kept of one data folder from a start on: base backups, and all changes since the
    first without a gap. A restored data folder begins another one."""

    folder: Path

    @property
    def wal(self) -> WalArchive:
        return WalArchive(self.folder / ARCHIVE)

    def folders(self) -> list[tuple[datetime, Path]]:
        """Finished base backups and when they were begun, the oldest first; damaged ones too."""
        found = []
        for path in self.folder.iterdir():
            if (begun := begun_at(path)) is not None and not path.name.endswith(UNFINISHED):
                found.append((begun, path))
        return sorted(found)

    def place(self, begun: datetime) -> Path:
        """Where a base backup that begins now is to be."""
        return self.folder / begun.strftime(_NAME)


def begun_at(path: Path) -> datetime | None:
    """When a base backup was begun, by its folder's name; None where it is something else."""
    try:
        name = path.name.removesuffix(UNFINISHED)
        return datetime.strptime(name, _NAME).replace(tzinfo=UTC)
    except ValueError:
        return None


class BackupFolder:
    """FACEPASS_BACKUP__FOLDER."""

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().absolute()

    @property
    def journal(self) -> ErasureJournal:
        return ErasureJournal(self.root / _JOURNAL)

    @property
    def current(self) -> Series | None:
        """The series that is gone on with."""
        name = _read(self.root / _CURRENT).get("series")
        series = self.root / name if name else None
        return Series(series) if series is not None and series.is_dir() else None

    def all_series(self) -> list[Series]:
        """Raises SetupError where this is no folder of backups."""
        try:
            return sorted(
                (Series(path) for path in self.root.iterdir() if (path / ARCHIVE).is_dir()),
                key=lambda series: series.folder,
            )
        except OSError as error:
            raise SetupError(f"cannot read {self.root}: {error.strerror or error}") from error

    def begin(self, data: DataDir) -> Series:
        """The series to go on with for a data folder, made where there is none.

        Raises SetupError where the folder cannot be used, or is another data folder's.
        """
        if data.root in (self.root, *self.root.parents):
            raise SetupError(
                f"FACEPASS_BACKUP__FOLDER {self.root} is inside the data folder {data.root}: it "
                "would be lost together with it; choose one on another disk"
            )
        try:
            self._make(data)
            if (current := self.begun_for(data)) is not None:
                return current
            self._require_given_up(data)
            return self._new(data)
        except OSError as error:
            raise SetupError(f"cannot use FACEPASS_BACKUP__FOLDER {self.root}: {error}") from error

    def begun_for(self, data: DataDir) -> Series | None:
        """The current series where it is that of a data folder."""
        current = self.current
        return current if current is not None and _is(current, _read(data.series)) else None

    def _make(self, data: DataDir) -> None:
        self.root.parent.mkdir(parents=True, exist_ok=True)
        data.user.make_private_folder(self.root)
        if data.user.switches and not data.user.may("-w", self.root):
            raise SetupError(
                f"Postgres runs as user {data.user.name!r}, which cannot reach {self.root}; choose "
                "a folder whose parents are open to it"
            )
        self.journal.require_writable()

    def _require_given_up(self, data: DataDir) -> None:
        """Two data folders must not go on with one another's backups."""
        other = Path(_read(self.root / _CURRENT).get("data_dir", data.root))
        if other == data.root:
            return
        if self.begun_for(DataDir(other, data.user)) is not None:
            raise SetupError(
                f"{self.root} takes the backups of {other}; choose another "
                f"FACEPASS_BACKUP__FOLDER, or remove {other} where this one is in its place"
            )

    def _new(self, data: DataDir) -> Series:
        name = f"series-{datetime.now(UTC).strftime(_NAME)}-{secrets.token_hex(3)}"
        series = Series(self.root / name)
        for folder in (series.folder, series.wal.folder):
            data.user.make_private_folder(folder)
        told = json.dumps({"series": name, "data_dir": str(data.root), "folder": str(self.root)})
        write_private(self.root / _CURRENT, told + "\n")
        write_private(data.series, told + "\n")
        return series

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody else makes or removes backups meanwhile. Raises SetupError where one does."""
        # Where nobody can write, nobody does.
        if os.statvfs(self.root).f_flag & os.ST_RDONLY:
            yield
            return
        try:
            descriptor = os.open(self.root / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise SetupError(f"cannot use {self.root}: {error.strerror or error}") from error
        with open(descriptor) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise SetupError(
                    f"{self.root} is in use by another backup or restore; wait for its end"
                ) from None
            yield


def _is(series: Series, told: dict[str, str]) -> bool:
    """Whether that is what a data folder says it goes on with."""
    return told.get("series") == series.folder.name and told.get("folder") == str(
        series.folder.parent
    )


def _read(path: Path) -> dict[str, str]:
    """Empty where it is absent or no more what it was."""
    try:
        told = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}
