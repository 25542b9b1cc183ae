"""The archive of Postgres' write-ahead log: a compressed file a segment, as they were written."""

import gzip
import re
import shlex
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_SEGMENT = re.compile(r"([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})")
_SEGMENTS_A_LOG = 256
"""Of 16 MiB each, in what the second part of a name counts."""
SEGMENT_BYTES = 16 * 1024 * 1024
# What `gzip -n -1` begins with: no name, no time, fastest, Unix.
_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\x03"
_PIECE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Segment:
    """One file of the log, by its name."""

    timeline: int
    number: int

    @classmethod
    def named(cls, name: str) -> "Segment | None":
        """None where it is another file's name."""
        found = _SEGMENT.fullmatch(name)
        if found is None:
            return None
        timeline, log, segment = (int(part, 16) for part in found.groups())
        return cls(timeline, log * _SEGMENTS_A_LOG + segment)

    @classmethod
    def at(cls, timeline: int, lsn: str) -> "Segment":
        """The one that holds a place such as `0/3000028`."""
        return cls(timeline, _place(lsn) // SEGMENT_BYTES)

    @classmethod
    def before(cls, timeline: int, lsn: str) -> "Segment":
        """The one that holds what comes before a place."""
        return cls(timeline, (_place(lsn) - 1) // SEGMENT_BYTES)

    @property
    def name(self) -> str:
        log, segment = divmod(self.number, _SEGMENTS_A_LOG)
        return f"{self.timeline:08X}{log:08X}{segment:08X}"

    @property
    def next(self) -> "Segment":
        return Segment(self.timeline, self.number + 1)


def _place(lsn: str) -> int:
    high, low = (int(part, 16) for part in lsn.split("/"))
    return (high << 32) + low


class WalArchive:
    """The folder of the archived log of one data folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def settings(self, timeout_s: int) -> dict[str, str]:
        """Settings of a Postgres that archives here."""
        return {
            "archive_mode": "on",
            "archive_command": self._command(),
            "archive_timeout": f"{timeout_s}s",
        }

    def _command(self) -> str:
        """Copies a segment so that it has its name once it is whole and on the disk. What is there
        already is left as it is: the same is well, anything else a failure that Postgres logs, and
        it keeps the segment until it succeeds."""
        place = f"{self._quoted()}/%f.gz"
        return (
            f"if test -e {place}; then gzip -dc {place} | cmp -s - %p; "
            f"else gzip -n -1 < %p > {place}.new && sync {place}.new && mv {place}.new {place} "
            f"&& sync {self._quoted()}; fi"
        )

    def restore_command(self) -> str:
        """What a Postgres that recovers runs for each segment."""
        return f"gzip -dc {self._quoted()}/%f.gz > %p"

    def _quoted(self) -> str:
        return shlex.quote(str(self.folder)).replace("%", "%%")

    def path(self, segment: Segment) -> Path:
        return self.folder / f"{segment.name}.gz"

    def segments(self) -> list[Segment]:
        """Those that are there, in order."""
        names = (path.name.removesuffix(".gz") for path in self.folder.glob("*.gz"))
        found = (Segment.named(name) for name in names)
        return sorted(
            (each for each in found if each is not None),
            key=lambda each: (each.number, each.timeline),
        )

    def archived_at(self, segment: Segment) -> datetime:
        return datetime.fromtimestamp(self.path(segment).stat().st_mtime, UTC)

    def followed(self, first: Segment, until: datetime | None = None) -> list[Segment]:
        """Those from `first` on: all, or up to the one that was archived first after `until`."""
        found = []
        for segment in self.segments():
            if segment.number >= first.number:
                found.append(segment)
                if until is not None and self.archived_at(segment) > until:
                    break
        return found

    def gaps(self, first: Segment, segments: Sequence[Segment]) -> list[str]:
        """What is missing of those that are to be followed from `first` on."""
        there = {segment.number for segment in segments}
        return [
            f"{self.path(Segment(first.timeline, number))} is missing"
            for number in range(first.number, max(there, default=0))
            if number not in there
        ]

    def damage(self, paths: Iterable[Path] | None = None) -> list[str]:
        """What is wrong with files of the archive, or with any."""
        found = sorted(self.folder.glob("*.gz")) if paths is None else paths
        problems = ((path, _problem(path)) for path in found)
        return [f"{path} {problem}" for path, problem in problems if problem]

    def remove_before(self, first: Segment) -> int:
        """Remove what comes before a segment; returns how many files."""
        removed = 0
        for path in self.folder.iterdir():
            found = Segment.named(path.name[:24])
            if found is not None and found.number < first.number:
                path.unlink()
                removed += 1
        return removed


def _problem(path: Path) -> str:
    """What is wrong with a compressed file; empty where it is whole."""
    try:
        with path.open("rb") as raw:
            if raw.read(len(_HEADER)) != _HEADER:
                return "is damaged: it does not begin as it was written"
        size = 0
        with gzip.open(path, "rb") as file:
            while piece := file.read(_PIECE):
                size += len(piece)
    except (OSError, EOFError, zlib.error) as error:
        return f"is damaged: {error}"
    is_segment = Segment.named(path.name.removesuffix(".gz")) is not None
    if is_segment and size != SEGMENT_BYTES:
        return f"is damaged: it holds {size} bytes, not {SEGMENT_BYTES}"
    return ""
