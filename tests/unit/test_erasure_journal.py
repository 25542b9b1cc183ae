"""The journal of erasures: what a crash cuts short is left out, what is damaged is noticed."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import SetupError
from indexer.erasure.erasures import Kind
from indexer.erasure.journal import Entry, ErasureJournal

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
ENTRY = Entry(
    UUID(int=1), Kind.PHOTO, "gala", UUID(int=2), "backend", 1, 2, b"\x01\xff", None, NOW, (5,),
    (9, 10),
)  # fmt: skip
NUMBERS = st.lists(st.integers(1, 2**31 - 1), max_size=5).map(tuple)


@given(st.sampled_from(Kind), st.text(), NUMBERS, NUMBERS, st.binary(max_size=32), st.booleans())
def test_an_entry_is_read_as_it_was_written(
    kind: Kind, subject: str, photos: tuple[int, ...], faces: tuple[int, ...], digest: bytes,
    suppressed: bool,
) -> None:  # fmt: skip
    until = NOW + timedelta(days=1) if suppressed else None
    entry = Entry(
        uuid4(), kind, "gala", uuid4(), subject, len(photos), len(faces), digest, until, NOW,
        photos, faces,
    )  # fmt: skip
    assert Entry.of_line(entry.line()) == entry
    assert entry.line().count(b"\n") == 1


def test_a_line_that_was_cut_short_is_left_out(tmp_path: Path) -> None:
    journal = ErasureJournal(tmp_path / "erasures.jsonl")
    second = replace(ENTRY, erasure_id=UUID(int=3))
    for cut in range(0, len(second.line()), 19):
        journal.path.write_bytes(ENTRY.line() + second.line()[:cut])
        assert journal.read() == [ENTRY]
        journal.append([second])
        assert journal.read() == [ENTRY, second]


def test_every_flipped_byte_is_noticed(tmp_path: Path) -> None:
    journal = ErasureJournal(tmp_path / "erasures.jsonl")
    whole = ENTRY.line() * 2
    for place in range(len(whole) - 1):
        changed = bytearray(whole)
        changed[place] ^= 0x01
        journal.path.write_bytes(changed)
        with pytest.raises(SetupError, match="is damaged"):
            journal.read()


def test_appending_and_pruning_go_on_side_by_side(tmp_path: Path) -> None:
    journal = ErasureJournal(tmp_path / "erasures.jsonl")
    old = replace(ENTRY, create_time=NOW - timedelta(days=40))
    written = [replace(ENTRY, erasure_id=uuid4()) for _ in range(60)]

    def recent(entry: Entry) -> bool:
        return entry.create_time is not None and entry.create_time > NOW - timedelta(days=30)

    def work(entry: Entry) -> None:
        journal.append([old, entry])
        journal.prune(recent)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, written))
    assert sorted(journal.read(), key=str) == sorted(written, key=str)
    assert journal.path.stat().st_mode & 0o777 == 0o600


def test_a_journal_that_is_not_there_is_not_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="cannot read the journal"):
        ErasureJournal(tmp_path / "none.jsonl").read()
