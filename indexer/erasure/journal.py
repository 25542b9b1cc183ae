"""The journal of erasures: what a backup that is older than they are does not know."""

import fcntl
import json
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Self
from uuid import UUID

from common.errors import SetupError
from indexer.erasure.erasures import Kind


@dataclass(frozen=True, slots=True)
class Entry:
    """One erasure: its receipt, and what it took by number. No biometrics, no photo's name."""

    erasure_id: UUID
    kind: Kind
    event: str
    uid: UUID
    subject: str
    photos: int
    faces: int
    digest: bytes
    suppress_until: datetime | None
    create_time: datetime | None
    """None: it is being made now."""
    photo_numbers: tuple[int, ...]
    face_numbers: tuple[int, ...]

    def line(self) -> bytes:
        """JSON, a tab and its CRC-32."""
        until = self.suppress_until
        assert self.create_time is not None
        text = json.dumps(
            {
                "erasure": str(self.erasure_id),
                "kind": self.kind.value,
                "event": self.event,
                "uid": str(self.uid),
                "subject": self.subject,
                "photos": self.photos,
                "faces": self.faces,
                "digest": self.digest.hex(),
                "suppress_until": until.isoformat() if until is not None else None,
                "create_time": self.create_time.isoformat(),
                "photo_numbers": self.photo_numbers,
                "face_numbers": self.face_numbers,
            }
        ).encode()
        return b"%s\t%08x\n" % (text, zlib.crc32(text))

    @classmethod
    def of_line(cls, line: bytes) -> Self:
        """Raises ValueError where the line is damaged."""
        text, _, crc = line.rstrip(b"\n").rpartition(b"\t")
        if crc != b"%08x" % zlib.crc32(text):
            raise ValueError("its checksum does not fit")
        told = json.loads(text)
        until = told["suppress_until"]
        return cls(
            UUID(told["erasure"]),
            Kind(told["kind"]),
            told["event"],
            UUID(told["uid"]),
            told["subject"],
            told["photos"],
            told["faces"],
            bytes.fromhex(told["digest"]),
            datetime.fromisoformat(until) if until is not None else None,
            datetime.fromisoformat(told["create_time"]),
            tuple(told["photo_numbers"]),
            tuple(told["face_numbers"]),
        )


class ErasureJournal:
    """A file that entries are appended to, by any number of processes of one machine."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def require_writable(self) -> None:
        """Make the file where it is absent. Raises SetupError."""
        try:
            with self._held():
                pass
        except OSError as error:
            raise SetupError(f"cannot write the journal of erasures: {error}") from error

    def append(self, entries: Sequence[Entry]) -> None:
        """Returns once they are on the disk. Raises OSError."""
        with self._held() as file:
            # Of a line that a crash cut short nobody was told.
            file.truncate(_whole(file))
            file.seek(0, os.SEEK_END)
            file.write(b"".join(entry.line() for entry in entries))
            file.flush()
            os.fsync(file.fileno())

    def read(self) -> list[Entry]:
        """All entries. Raises SetupError where there is no such file, or it is damaged."""
        try:
            lines = self.path.read_bytes().splitlines(keepends=True)
        except OSError as error:
            raise SetupError(f"cannot read the journal of erasures: {error}") from error
        whole = [line for line in lines if line.endswith(b"\n")]
        entries = []
        for number, line in enumerate(whole, start=1):
            try:
                entries.append(Entry.of_line(line))
            except (ValueError, KeyError, TypeError) as error:
                raise SetupError(f"{self.path}, line {number}, is damaged: {error}") from error
        return entries

    def prune(self, keep: Callable[[Entry], bool]) -> int:
        """Remove entries that no backup lacks any more; returns how many. Raises OSError,
        SetupError."""
        with self._held():
            entries = self.read()
            kept = [entry for entry in entries if keep(entry)]
            if len(kept) < len(entries):
                temporary = self.path.with_name(self.path.name + ".tmp")
                with temporary.open("wb") as file:
                    os.fchmod(file.fileno(), 0o600)
                    file.write(b"".join(entry.line() for entry in kept))
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(self.path)
            return len(entries) - len(kept)

    @contextmanager
    def _held(self) -> Iterator[BinaryIO]:
        """The file, which nobody else appends to or prunes meanwhile."""
        while True:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with open(descriptor, "r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                # Pruned while we waited: another file has the name now.
                if os.path.samestat(os.fstat(file.fileno()), self.path.stat()):
                    yield file
                    return


def _whole(file: BinaryIO) -> int:
    """Bytes up to the end of the last whole line."""
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - 4096)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
