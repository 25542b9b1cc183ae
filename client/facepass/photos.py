"""Photos to be indexed: where they come from and what they are called."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path, PurePath
from urllib.parse import quote

from facepass.times import timestamp
from facepass.v1 import indexer_pb2

SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp"})
"""File name endings of what FacePass reads, in lower case."""

CHUNK_BYTES = 128 * 1024
_BLOCK_BYTES = 1024 * 1024
_MAX_ID = 256
_MAX_FILE_NAME = 1024
_MAX_URI = 2048


@dataclass(frozen=True, slots=True)
class PhotoSource:
    """One photo to index.

    photo_id: the caller's id, unique in the event: 1 to 256 of `A-Z a-z 0-9 - . _ ~ %`.
    content: its bytes, or a path that is read in pieces when its turn comes.
    capture_time: with a time zone. source_uri: where the photo is kept; never fetched.
    sha256: of the bytes; computed when left empty.
    """

    photo_id: str
    content: bytes | Path = field(repr=False)
    file_name: str = ""
    source_uri: str = ""
    capture_time: datetime | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    sha256: bytes = b""

    @classmethod
    def from_file(cls, path: Path, *, root: Path | None = None) -> "PhotoSource":
        """Take a file; its id is the path relative to `root`, by default the bare file name."""
        absolute = path.absolute()
        uri = absolute.as_uri()
        return cls(
            photo_id=photo_id_of(path.relative_to(root) if root else PurePath(path.name)),
            content=absolute,
            # Names that are not UTF-8 are shown with replacement characters; the id stays exact.
            file_name=os.fsencode(path.name).decode("utf-8", "replace")[:_MAX_FILE_NAME],
            source_uri=uri if len(uri) <= _MAX_URI else "",
        )

    def hashed(self) -> "PhotoSource":
        """Return the same photo with its hash; reads the file when it is one. Raises OSError."""
        if self.sha256:
            return self
        digest = hashlib.sha256()
        for block in _blocks(self.content):
            digest.update(block)
        return replace(self, sha256=digest.digest())

    def header(self) -> indexer_pb2.PhotoHeader:
        """Return what is said of the photo before its bytes, hash and size included.

        Raises OSError when a file cannot be read, ValueError for a time without a time zone.
        """
        hashed = self.hashed()
        content = self.content
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        return indexer_pb2.PhotoHeader(
            photo_id=self.photo_id,
            file_name=self.file_name,
            content_length=size,
            sha256=hashed.sha256,
            capture_time=timestamp(self.capture_time),
            source_uri=self.source_uri,
            attributes=self.attributes,
        )


@dataclass(frozen=True, slots=True)
class Folder:
    """The photos of a folder and its subfolders, by path; other files are in `skipped`."""

    photos: tuple[PhotoSource, ...]
    skipped: tuple[Path, ...]

    def __iter__(self) -> Iterator[PhotoSource]:
        return iter(self.photos)

    def __len__(self) -> int:
        return len(self.photos)


def folder(path: Path | str) -> Folder:
    """Look for photos below a folder, by file name; hidden files and folders are passed over.

    Photo ids are the paths relative to the folder. Raises NotADirectoryError, PermissionError.
    """
    root = Path(path)
    os.scandir(root).close()  # os.walk would be silent about a folder that cannot be read
    found: list[PhotoSource] = []
    skipped: list[Path] = []
    for place, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(name for name in names if not name.startswith(".")):
            file = Path(place, name)
            if file.suffix.lower() in SUFFIXES:
                found.append(PhotoSource.from_file(file, root=root))
            else:
                skipped.append(file)
    return Folder(tuple(found), tuple(skipped))


def photo_id_of(path: PurePath) -> str:
    """Make a photo id of a relative path; one too long for an id ends in a hash instead."""
    quoted = quote(os.fsencode(path.as_posix()), safe="")
    if len(quoted) <= _MAX_ID:
        return quoted
    digest = hashlib.sha256(quoted.encode()).hexdigest()[:32]
    return f"{quoted[: _MAX_ID - 33]}~{digest}"


def chunks(
    content: bytes | Path, size_bytes: int = CHUNK_BYTES
) -> Iterator[indexer_pb2.PhotoChunk]:
    """Cut a photo into chunks of at most `size_bytes`, the last one marked. Raises OSError."""
    held = b""
    for block in _blocks(content):
        for start in range(0, len(block), size_bytes):
            if held:
                yield indexer_pb2.PhotoChunk(data=held)
            held = block[start : start + size_bytes]
    yield indexer_pb2.PhotoChunk(data=held, last=True)


def _blocks(content: bytes | Path) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            yield block
