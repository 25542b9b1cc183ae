"""Photos before they are sent: ids, hashes, chunks, folders."""

import hashlib
import re
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import pytest
from facepass import PhotoSource, folder, photo_id_of
from facepass.photos import chunks
from hypothesis import given
from hypothesis import strategies as st

NAMES = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=()), min_size=1, max_size=90
).filter(lambda name: name not in (".", ".."))
PATHS = st.lists(NAMES, min_size=1, max_size=5).map(lambda parts: PurePosixPath(*parts))


def encodable(path: PurePosixPath) -> bool:
    """Whether a file system could hold such a name."""
    try:
        str(path).encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


@given(path=PATHS.filter(encodable), other=PATHS.filter(encodable))
def test_photo_ids_fit_the_wire_and_tell_paths_apart(
    path: PurePosixPath, other: PurePosixPath
) -> None:
    made = photo_id_of(path)
    assert re.fullmatch(r"[A-Za-z0-9._~%-]{1,256}", made)
    assert (made == photo_id_of(other)) == (path == other)


def test_ids_of_plain_names_are_the_names() -> None:
    assert photo_id_of(PurePosixPath("IMG_0001.jpg")) == "IMG_0001.jpg"
    assert photo_id_of(PurePosixPath("day 1/ä.jpg")) == "day%201%2F%C3%A4.jpg"


def test_long_paths_differ_only_behind_what_is_shown() -> None:
    first, second = (photo_id_of(PurePosixPath("x" * 400 + end)) for end in ("1", "2"))
    assert len(first) == len(second) == 256
    assert first[:200] == second[:200]
    assert first != second


@given(content=st.binary(max_size=2000), size_bytes=st.integers(1, 2500))
def test_chunks_put_together_are_the_photo(content: bytes, size_bytes: int) -> None:
    made = list(chunks(content, size_bytes))
    assert b"".join(chunk.data for chunk in made) == content
    assert all(len(chunk.data) <= size_bytes for chunk in made)
    assert [chunk.last for chunk in made] == [False] * (len(made) - 1) + [True]


@pytest.mark.parametrize("size", [0, 1, 1024 * 1024, 1024 * 1024 + 1, 2_500_000])
def test_a_file_is_cut_like_its_bytes(tmp_path: Path, size: int) -> None:
    content = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    file = tmp_path / "photo.jpg"
    file.write_bytes(content)
    made = list(chunks(file))
    assert b"".join(chunk.data for chunk in made) == content
    assert [chunk.last for chunk in made] == [False] * (len(made) - 1) + [True]


def test_the_header_announces_hash_and_size(tmp_path: Path) -> None:
    file = tmp_path / "day 1" / "a#b.jpg"
    file.parent.mkdir()
    file.write_bytes(b"photo")
    header = PhotoSource.from_file(file, root=tmp_path).header()
    assert header.photo_id == "day%201%2Fa%23b.jpg"
    assert header.file_name == "a#b.jpg"
    assert header.content_length == 5
    assert header.sha256 == hashlib.sha256(b"photo").digest()
    assert header.source_uri == file.as_uri()
    assert not header.HasField("capture_time")


def test_the_header_of_bytes_says_what_the_caller_knows() -> None:
    taken = datetime(2026, 6, 1, 12, tzinfo=UTC)
    photo = PhotoSource("p", b"photo", capture_time=taken, attributes={"camera": "2"})
    header = photo.header()
    assert header.capture_time.ToDatetime(tzinfo=UTC) == taken
    assert dict(header.attributes) == {"camera": "2"}
    assert header.sha256 == hashlib.sha256(b"photo").digest()


def test_a_capture_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        PhotoSource("p", b"photo", capture_time=datetime(2026, 6, 1)).header()


def test_a_file_name_that_is_no_text_is_still_sent(tmp_path: Path) -> None:
    name = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")
    (tmp_path / name).write_bytes(b"photo")
    header = folder(tmp_path).photos[0].header()
    assert header.photo_id == "caf%E9.jpg"
    assert header.file_name == "caf\ufffd.jpg"


def test_a_folder_gives_its_photos_by_path_and_says_what_it_skips(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", "sub/c.WebP", "sub/d.heic", "notes.txt", ".hidden.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / ".trash").mkdir()
    (tmp_path / ".trash" / "e.jpg").touch()
    found = folder(tmp_path)
    assert [photo.photo_id for photo in found] == ["a.png", "b.JPG", "sub%2Fc.WebP"]
    assert found.skipped == (tmp_path / "notes.txt", tmp_path / "sub" / "d.heic")
    assert len(found) == 3


def test_a_folder_that_is_none_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        folder(tmp_path / "absent")
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        folder(tmp_path / "file")
