"""One base backup: a copy of Postgres' data folder, and what it must be."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from common.errors import SetupError
from standalone.backup.wal_archive import Segment, WalArchive

RECORD = "facepass-backup.json"
MANIFEST = "backup_manifest"
WAL = "pg_wal"
ARCHIVE = "wal"
_CHECKSUM_LINE = b'"Manifest-Checksum"'
_PIECE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Record:
    """What is written into a base backup beside what Postgres writes."""

    start_time: datetime
    end_time: datetime
    keep_days: int
    """The retention that receipts promised when it was made."""
    data_dir: str
    size_bytes: int
    timeline: int
    start_lsn: str
    end_lsn: str
    sha256: Mapping[str, str]
    """Of the files that Postgres' manifest does not list: itself, and the log of the while."""

    def text(self) -> str:
        """JSON, and its own SHA-256 as the last value."""
        told = json.dumps(asdict(self), default=datetime.isoformat, indent=1)
        digest = hashlib.sha256(told.encode()).hexdigest()
        return json.dumps({"record": told, "record_sha256": digest}, indent=1) + "\n"

    @classmethod
    def of_text(cls, text: str) -> Self:
        """Raises ValueError where it is damaged."""
        outer = json.loads(text)
        told = str(outer["record"])
        if hashlib.sha256(told.encode()).hexdigest() != outer["record_sha256"]:
            raise ValueError("its checksum does not fit")
        if text != json.dumps(outer, indent=1) + "\n":
            raise ValueError("it is not as it was written")
        fields: dict[str, Any] = json.loads(told)
        for name in ("start_time", "end_time"):
            fields[name] = datetime.fromisoformat(fields[name])
        return cls(**fields)


@dataclass(frozen=True, slots=True)
class BaseBackup:
    """A finished one. The folder above it holds all of one data folder's, and their archive."""

    folder: Path
    record: Record

    @classmethod
    def at(cls, folder: Path) -> Self:
        """Raises SetupError where there is none, or its record is damaged."""
        path = folder / RECORD
        try:
            return cls(folder, Record.of_text(path.read_text()))
        except FileNotFoundError:
            raise SetupError(f"{folder} is no backup: it has no {RECORD}") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SetupError(f"{path} is damaged: {error}") from error

    @property
    def wal(self) -> WalArchive:
        """The changes since, and those of the others of its data folder."""
        return WalArchive(self.folder.parent / ARCHIVE)

    @property
    def first_segment(self) -> Segment:
        """Where the log has to be followed from."""
        return Segment.at(self.record.timeline, self.record.start_lsn)

    def problems(self) -> list[str]:
        """Everything that is not as it was written, by file; reads every byte."""
        return list(self._problems())

    def _problems(self) -> Iterator[str]:
        outside = self.record.sha256
        yield from _compare(self.folder, outside)
        try:
            manifest = read_manifest(self.folder / MANIFEST)
        except SetupError as error:
            yield error.message
            return
        listed = manifest_files(manifest)
        yield from _compare(self.folder, listed)
        known = {*outside, *listed, RECORD}
        for path in self.folder.rglob("*"):
            name = path.relative_to(self.folder).as_posix()
            if not path.is_dir() and name not in known:
                yield f"{path} does not belong to the backup"
        for segment in needed_segments(manifest):
            if f"{WAL}/{segment.name}" not in outside:
                yield f"{self.folder / WAL / segment.name} is missing"


def read_manifest(path: Path) -> dict[str, Any]:
    """Postgres' manifest. Raises SetupError where its own checksum does not fit."""
    try:
        content = path.read_bytes()
        manifest: dict[str, Any] = json.loads(content)
        # The checksum is of everything up to the line that it stands in.
        checked = content[: content.rindex(_CHECKSUM_LINE)]
        if hashlib.sha256(checked).hexdigest() != manifest["Manifest-Checksum"]:
            raise ValueError("its own checksum does not fit")
        return manifest
    except (OSError, ValueError, KeyError) as error:
        raise SetupError(f"{path} is damaged or missing: {error}") from error


def manifest_files(manifest: Mapping[str, Any]) -> dict[str, str]:
    """SHA-256 by path of the files that a manifest lists."""
    found = {}
    for each in manifest["Files"]:
        encoded = each.get("Encoded-Path")
        name = each["Path"] if encoded is None else os.fsdecode(bytes.fromhex(encoded))
        found[name] = each["Checksum"]
    return found


def needed_segments(manifest: Mapping[str, Any]) -> list[Segment]:
    """The files of the log without which the copy is not of one piece."""
    found = []
    for each in manifest["WAL-Ranges"]:
        segment = Segment.at(each["Timeline"], each["Start-LSN"])
        last = Segment.before(each["Timeline"], each["End-LSN"])
        while segment.number <= last.number:
            found.append(segment)
            segment = segment.next
    return found


def sha256_of(path: Path) -> str:
    """Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _compare(folder: Path, wanted: Mapping[str, str]) -> Iterator[str]:
    for name, digest in wanted.items():
        path = folder / name
        try:
            if sha256_of(path) != digest:
                yield f"{path} is damaged: its SHA-256 does not fit"
        except FileNotFoundError:
            yield f"{path} is missing"
        except OSError as error:
            yield f"{path} cannot be read: {error.strerror or error}"
