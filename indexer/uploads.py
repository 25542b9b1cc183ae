"""Putting photos together from the messages of a stream."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from common.errors import (
    ContentMismatch,
    FacePassError,
    ImageTooLarge,
    IncompleteUpload,
    InvalidArgument,
)
from common.photo import PhotoInfo
from indexer.room import Share
from indexer.turn import Turn

MAX_CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Header:
    """What the caller announces of a photo; length 0 and an empty digest mean unknown.

    error: what is wrong with the header itself; the photo's bytes are then read and dropped.
    """

    info: PhotoInfo
    content_length: int = 0
    sha256: bytes = b""
    error: FacePassError | None = None

    def most_bytes(self, max_bytes: int) -> int:
        """How many bytes of the photo are worth keeping: none of one that will be refused."""
        if self.error is not None or self.content_length > max_bytes:
            return 0
        return self.content_length or max_bytes


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of the photo whose header came last."""

    data: bytes
    last: bool


@dataclass(frozen=True, slots=True)
class Upload:
    """One photo as it arrived: its bytes, or why they cannot be used."""

    sequence: int
    info: PhotoInfo
    content: bytes
    sha256: bytes
    size_bytes: int
    error: FacePassError | None = None


@dataclass
class _Assembly:
    sequence: int
    header: Header
    max_bytes: int
    chunks: list[bytes] = field(default_factory=list)
    size: int = 0

    def __post_init__(self) -> None:
        self.digest = hashlib.sha256()
        self.most_bytes = self.header.most_bytes(self.max_bytes)

    def add(self, data: bytes) -> None:
        self.size += len(data)
        self.digest.update(data)
        if self.size > self.most_bytes:
            self.chunks.clear()
        else:
            self.chunks.append(data)

    def finish(self, error: FacePassError | None = None) -> Upload:
        sha256 = self.digest.digest()
        return Upload(
            self.sequence,
            self.header.info,
            b"".join(self.chunks),
            sha256,
            self.size,
            error or self.header.error or _mismatch(self.header, self.size, sha256)
            or too_large(self.size, self.max_bytes),
        )  # fmt: skip


def whole(header: Header, content: bytes, max_bytes: int) -> Upload:
    """A photo that came in one piece."""
    assembly = _Assembly(0, header, max_bytes)
    assembly.add(content)
    return assembly.finish()


async def assemble(
    messages: AsyncIterator[Header | Chunk], max_bytes: int, room: Share, turn: Turn
) -> AsyncIterator[Upload]:
    """Turn headers and chunks into photos; each header gives exactly one.

    Before a photo's first chunk is read, there must be room for all of it; a photo of more than
    `max_bytes` is not kept in memory. The room for what was kept, and the turn, are the photo's
    until it is answered. Raises InvalidArgument, which ends the stream, for a chunk without a
    header and for a chunk over MAX_CHUNK_BYTES.
    """
    current: _Assembly | None = None
    sequence = 0

    def finish(assembly: _Assembly, error: FacePassError | None = None) -> Upload:
        upload = assembly.finish(error)
        room.give_back(assembly.most_bytes - len(upload.content))
        turn.begin()
        return upload

    async for message in messages:
        if isinstance(message, Header):
            if current is not None:
                yield finish(current, _incomplete())
            with turn.ours():
                await room.take(message.most_bytes(max_bytes))
            current = _Assembly(sequence, message, max_bytes)
            sequence += 1
            continue
        if current is None:
            raise InvalidArgument("chunk", "came before the header of a photo")
        if len(message.data) > MAX_CHUNK_BYTES:
            raise InvalidArgument("chunk.data", f"must be at most {MAX_CHUNK_BYTES} bytes")
        turn.brought(len(message.data))
        current.add(message.data)
        if message.last:
            yield finish(current)
            current = None
    if current is not None:
        yield finish(current, _incomplete())


def too_large(size: int, max_bytes: int) -> ImageTooLarge | None:
    """The error of a photo over the limit of bytes."""
    if size <= max_bytes:
        return None
    return ImageTooLarge(f"the photo has {size} bytes, more than the limit of {max_bytes}")


def _mismatch(header: Header, size: int, sha256: bytes) -> ContentMismatch | None:
    if header.content_length and header.content_length != size:
        return ContentMismatch(f"announced were {header.content_length} bytes, {size} arrived")
    if header.sha256 and header.sha256 != sha256:
        return ContentMismatch("the bytes do not have the announced SHA-256")
    return None


def _incomplete() -> IncompleteUpload:
    return IncompleteUpload("the photo's last chunk did not arrive; send the photo again")
