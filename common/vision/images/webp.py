"""WebP, as far as it can be read without decoding.

Source: RFC 9649 (container, VP8L) and RFC 6386 section 9.1 (VP8).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from common.errors import ImageCorrupt, ImageTooLarge, ImageTruncated, ImageUnsupported
from common.vision.images.exif import exif_orientation
from common.vision.images.header import StoredFrame

_ANIMATION_FLAG = 0x02
_MAX_CHUNKS = 10_000


@dataclass(frozen=True, slots=True)
class _Chunk:
    """content[start:end] is the chunk's payload."""

    type: bytes
    start: int
    end: int


def read_webp(content: bytes) -> StoredFrame:
    """Sides and orientation of a WebP.

    Raises ImageTruncated, ImageCorrupt, ImageTooLarge (too many chunks) or ImageUnsupported (an
    animation: which of its frames is meant, only the caller knows).
    """
    frame: StoredFrame | None = None
    canvas: StoredFrame | None = None
    orientation: int | None = None
    for chunk in _chunks(content):
        body = content[chunk.start : chunk.end]
        if chunk.type == b"VP8X" and canvas is None and frame is None:
            canvas = _read_canvas(body)
        elif chunk.type in (b"ANIM", b"ANMF"):
            raise _animation()
        elif chunk.type in _FRAME_READERS and frame is None:
            frame = _FRAME_READERS[chunk.type](body)
        elif chunk.type == b"EXIF" and orientation is None:
            orientation = exif_orientation(body)
    if frame is None:
        raise ImageCorrupt("The WebP has no picture in it.")
    if canvas is not None and canvas != frame:
        raise ImageCorrupt("The WebP says two different sizes.")
    return StoredFrame(frame.width, frame.height, orientation or 1)


def webp_pixels_only(content: bytes) -> bytes:
    """The same WebP without metadata and without its alpha plane."""
    for chunk in _chunks(content):
        if chunk.type in _FRAME_READERS:
            body = content[chunk.start : chunk.end]
            padded = body + b"\0" * (len(body) % 2)
            size = struct.pack("<I", 12 + len(padded))
            return b"".join(
                (b"RIFF", size, b"WEBP", chunk.type, struct.pack("<I", len(body)), padded)
            )
    raise ImageCorrupt("The WebP has no picture in it.")


def _chunks(content: bytes) -> Iterator[_Chunk]:
    """Every chunk of the RIFF container."""
    if len(content) < 20:
        raise ImageTruncated("The WebP ends within its header.")
    (riff_size,) = struct.unpack_from("<I", content, 4)
    riff_end = 8 + riff_size
    if riff_end > len(content):
        raise ImageTruncated("The WebP is shorter than it says.")
    position = 12
    for _ in range(_MAX_CHUNKS):
        if position + 8 > riff_end:
            return
        kind, size = struct.unpack_from("<4sI", content, position)
        end = position + 8 + size
        if end > riff_end:
            raise ImageCorrupt("The WebP has a chunk that is longer than the file.")
        yield _Chunk(kind, position + 8, end)
        position = end + size % 2
    raise ImageTooLarge(f"The WebP has more than {_MAX_CHUNKS} chunks.")


def _read_canvas(body: bytes) -> StoredFrame:
    if len(body) < 10:
        raise ImageCorrupt("The WebP's header is damaged.")
    if body[0] & _ANIMATION_FLAG:
        raise _animation()
    width, height = int.from_bytes(body[4:7], "little"), int.from_bytes(body[7:10], "little")
    return StoredFrame(width + 1, height + 1)


def _read_vp8(body: bytes) -> StoredFrame:
    """A lossy frame: tag (3 bytes), start code, sides of 14 bits with 2 bits of scaling above."""
    if len(body) < 10 or body[0] & 1 or body[3:6] != b"\x9d\x01\x2a":
        raise ImageCorrupt("The WebP's lossy frame is damaged.")
    width, height = struct.unpack_from("<HH", body, 6)
    return StoredFrame(width & 0x3FFF, height & 0x3FFF)


def _read_vp8l(body: bytes) -> StoredFrame:
    """A lossless frame: a signature byte, then width - 1 and height - 1 in 14 bits each."""
    if len(body) < 5 or body[0] != 0x2F:
        raise ImageCorrupt("The WebP's lossless frame is damaged.")
    bits = int.from_bytes(body[1:5], "little")
    return StoredFrame((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)


def _animation() -> ImageUnsupported:
    return ImageUnsupported("This WebP is an animation: send the frame as a still image.")


_FRAME_READERS = {b"VP8 ": _read_vp8, b"VP8L": _read_vp8l}
