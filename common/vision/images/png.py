"""PNG, as far as it can be read without decoding.

Source: W3C PNG (third edition), section 5 and 11.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from common.errors import ImageCorrupt, ImageTooLarge, ImageTruncated, ImageUnsupported
from common.vision.images.exif import exif_orientation
from common.vision.images.header import StoredFrame
from common.vision.images.png_rows import PngRows

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PIXEL_CHUNKS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
# Every chunk costs a step of Python; encoders write 8 KiB and more into one.
_MAX_CHUNKS = 50_000
_CHUNK_FRAME = 12  # length, type, CRC


@dataclass(frozen=True, slots=True)
class _Chunk:
    """content[start:end] is the chunk, with its length, type and CRC."""

    type: bytes
    start: int
    end: int

    def body(self, content: bytes) -> bytes:
        return content[self.start + 8 : self.end - 4]


def read_png(content: bytes) -> StoredFrame:
    """Sides and orientation of a PNG.

    Raises ImageTruncated (no IEND), ImageCorrupt, ImageTooLarge (too many chunks) or
    ImageUnsupported (an animation: which of its frames is meant, only the caller knows).
    """
    frame: StoredFrame | None = None
    orientation: int | None = None
    has_pixels = False
    for chunk in _chunks(content):
        if chunk.type == b"IHDR" and frame is None:
            frame = _read_ihdr(chunk.body(content))
        elif chunk.type == b"CgBI":
            raise ImageUnsupported("This PNG is optimised for iOS apps: send it as a JPEG.")
        elif frame is None or chunk.type == b"IHDR":
            raise ImageCorrupt("The PNG does not have its one header at its beginning.")
        elif chunk.type == b"acTL":
            raise ImageUnsupported("This PNG is an animation: send the frame as a still image.")
        elif chunk.type == b"eXIf" and orientation is None:
            orientation = exif_orientation(chunk.body(content))
        has_pixels = has_pixels or chunk.type == b"IDAT"
    if frame is None or not has_pixels:
        raise ImageCorrupt("The PNG has no picture in it.")
    return StoredFrame(frame.width, frame.height, orientation or 1)


def png_pixels_only(content: bytes) -> bytes:
    """The same PNG without metadata: its checksums fit, and it unpacks to its picture and no more.

    Raises ImageCorrupt, ImageTruncated or ImageTooLarge.
    """
    view = memoryview(content)
    parts: list[bytes | memoryview] = [SIGNATURE]
    rows: PngRows | None = None
    for chunk in _chunks(content):
        if chunk.type not in _PIXEL_CHUNKS:
            continue
        (stated,) = struct.unpack_from(">I", content, chunk.end - 4)
        if zlib.crc32(view[chunk.start + 4 : chunk.end - 4]) != stated:
            raise ImageCorrupt("The PNG is damaged: a checksum does not fit.")
        parts.append(view[chunk.start : chunk.end])
        if chunk.type == b"IHDR":
            rows = PngRows(chunk.body(content))
        elif chunk.type == b"IDAT" and rows is not None:
            rows.unpack(view[chunk.start + 8 : chunk.end - 4])
    if rows is None:
        raise ImageCorrupt("The PNG has no picture in it.")
    rows.check_complete()
    return b"".join(parts)


def _chunks(content: bytes) -> Iterator[_Chunk]:
    """Every chunk from IHDR to IEND."""
    position = len(SIGNATURE)
    for _ in range(_MAX_CHUNKS):
        if position + _CHUNK_FRAME > len(content):
            raise ImageTruncated("The PNG ends before its end chunk.")
        length, kind = struct.unpack_from(">I4s", content, position)
        end = position + _CHUNK_FRAME + length
        if not kind.isalpha() or length > 0x7FFFFFFF:
            raise ImageCorrupt(f"The PNG has no chunk at byte {position} where one must be.")
        if end > len(content):
            raise ImageTruncated("The PNG ends within a chunk.")
        yield _Chunk(kind, position, end)
        if kind == b"IEND":
            return
        position = end
    raise ImageTooLarge(f"The PNG has more than {_MAX_CHUNKS} chunks.")


def _read_ihdr(body: bytes) -> StoredFrame:
    if len(body) != 13:
        raise ImageCorrupt("The PNG's header is damaged.")
    width, height = struct.unpack_from(">II", body)
    PngRows(body)
    return StoredFrame(width, height)
