"""The archive of the log: what is missing or damaged in it is found, and nothing is overwritten."""

import os
import random
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from standalone.backup.wal_archive import SEGMENT_BYTES, Segment, WalArchive

FIRST = Segment(1, 254)
T0 = 1_780_000_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "it's 100% ours" / "wal"
    made.mkdir(parents=True)
    return made


def archive_one(archive: WalArchive, path: Path, name: str) -> int:
    """As Postgres runs the command: %p and %f are replaced, and %% is a %."""
    command = archive.settings(60)["archive_command"]
    parts = [part.replace("%p", path.name).replace("%f", name) for part in command.split("%%")]
    return subprocess.run(["sh", "-c", "%".join(parts)], cwd=path.parent, check=False).returncode


@pytest.fixture
def archive(folder: Path, tmp_path: Path) -> WalArchive:
    """With four segments, a minute apart."""
    archive, source = WalArchive(folder), tmp_path / "segment"
    segment = FIRST
    for number in range(4):
        source.write_bytes(random.Random(number).randbytes(4096).ljust(SEGMENT_BYTES, b"\0"))
        assert archive_one(archive, source, segment.name) == 0
        os.utime(archive.path(segment), (T0 + 60 * number,) * 2)
        segment = segment.next
    return archive


def test_segments_are_numbered_as_postgres_names_them() -> None:
    names = [FIRST.name, FIRST.next.name, FIRST.next.next.name]
    assert names == [
        "0000000100000000000000FE", "0000000100000000000000FF", "000000010000000100000000"
    ]  # fmt: skip
    assert [Segment.named(name) for name in names][2] == FIRST.next.next
    assert Segment.named("00000002.history") is None
    assert Segment.at(1, "0/FE000028") == FIRST
    assert Segment.at(1, "1/0") == FIRST.next.next
    assert Segment.before(1, "1/0") == FIRST.next


def test_what_was_archived_comes_back(archive: WalArchive, tmp_path: Path) -> None:
    assert not archive.damage() and len(archive.segments()) == 4
    command = archive.restore_command()
    parts = [part.replace("%p", "back").replace("%f", FIRST.name) for part in command.split("%%")]
    subprocess.run(["sh", "-c", "%".join(parts)], cwd=tmp_path, check=True)
    expected = random.Random(0).randbytes(4096).ljust(SEGMENT_BYTES, b"\0")
    assert (tmp_path / "back").read_bytes() == expected


def test_nothing_is_overwritten(archive: WalArchive, tmp_path: Path) -> None:
    before = archive.path(FIRST).read_bytes()
    same, other = tmp_path / "same", tmp_path / "other"
    same.write_bytes(random.Random(0).randbytes(4096).ljust(SEGMENT_BYTES, b"\0"))
    other.write_bytes(bytes(SEGMENT_BYTES))
    assert archive_one(archive, same, FIRST.name) == 0
    assert archive_one(archive, other, FIRST.name) != 0
    assert archive_one(archive, tmp_path / "none", FIRST.next.next.next.next.name) != 0
    assert archive.path(FIRST).read_bytes() == before and len(archive.segments()) == 4


def test_gaps_are_found(archive: WalArchive) -> None:
    followed = archive.followed(FIRST)
    assert archive.gaps(FIRST, followed) == []
    archive.path(FIRST.next).unlink()
    problems = archive.gaps(FIRST, archive.followed(FIRST))
    assert problems == [f"{archive.path(FIRST.next)} is missing"]
    archive.path(FIRST).unlink()
    assert len(archive.gaps(FIRST, archive.followed(FIRST))) == 2
    assert archive.gaps(FIRST.next.next, archive.followed(FIRST.next.next)) == []


def test_what_comes_after_a_time_is_not_needed(archive: WalArchive) -> None:
    until = datetime.fromtimestamp(T0 + 60, UTC)
    assert archive.followed(FIRST, until) == [FIRST, FIRST.next, FIRST.next.next]


def test_every_flipped_byte_is_found(archive: WalArchive) -> None:
    path = archive.path(FIRST)
    whole = path.read_bytes()
    choice = random.Random(1)
    places = [
        *range(12),
        *range(len(whole) - 12, len(whole)),
        *choice.sample(range(len(whole)), 8),
    ]
    for place in places:
        changed = bytearray(whole)
        changed[place] ^= 0xFF
        path.write_bytes(changed)
        assert [problem for problem in archive.damage() if str(path) in problem]
    path.write_bytes(whole[:-1])
    assert len(archive.damage()) == 1
