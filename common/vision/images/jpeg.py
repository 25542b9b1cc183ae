"""JPEG, as far as it can be read without decoding.

Source: ITU-T T.81, annex B (marker syntax).
"""

import re
from collections.abc import Iterator, Sequence

from common.config import ImageLimits
from common.errors import ImageCorrupt, ImageTooLarge, ImageTruncated, ImageUnsupported
from common.vision.images.exif import exif_orientation
from common.vision.images.header import JpegSegment, StoredFrame
from common.vision.images.jpeg_scans import Scans

_SOI, _EOI, _SOS, _APP0, _APP1, _APP14 = 0xD8, 0xD9, 0xDA, 0xE0, 0xE1, 0xEE
_TABLES = frozenset({0xC4, 0xDB, 0xDD})  # DHT, DQT, DRI
_SEQUENTIAL, _PROGRESSIVE = frozenset({0xC0, 0xC1}), 0xC2
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_UNREADABLE = {
    **dict.fromkeys((0xC3, 0xC7, 0xCB, 0xCF), "lossless"),
    **dict.fromkeys((0xC5, 0xC6, 0xCD, 0xCE), "hierarchical"),
    **dict.fromkeys((0xC9, 0xCA), "arithmetic-coded"),
}
# A marker may have fill bytes before it; some cameras pad their segments with zeros.
_NEXT_MARKER = re.compile(rb"[\x00\xff]*\xff([\x01-\xfe])")
# Inside a scan FF 00 is data and FF D0-D7 restarts it; any other marker ends it.
_SCAN_END = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
# Every segment costs a step of Python; an ordinary file has fewer than a hundred.
_MAX_SEGMENTS = 10_000
# Scans that the largest image may have: even one without data makes a decoder go over all pixels.
_FULL_SCANS = 20


def read_jpeg(content: bytes, limits: ImageLimits) -> StoredFrame:
    """Sides, orientation and segments of a JPEG.

    Raises ImageTruncated (no end marker), ImageCorrupt, ImageUnsupported (arithmetic, lossless,
    hierarchical, 12 bits) or ImageTooLarge (more scans than the limits let pass).
    """
    frame: StoredFrame | None = None
    scans: Scans | None = None
    orientation: int | None = None
    segments: list[JpegSegment] = []
    for segment in _segments(content):
        segments.append(segment)
        if segment.marker in _FRAMES:
            if frame is not None:
                raise ImageCorrupt("The JPEG has two frame headers.")
            frame = _read_frame(content, segment)
            body = content[segment.body : segment.end]
            scans = Scans(body, progressive=segment.marker == _PROGRESSIVE)
        elif segment.marker == _APP1 and orientation is None:
            block = content[segment.body : segment.end]
            orientation = exif_orientation(block) if block.startswith(b"Exif\0\0") else None
        elif segment.marker == _SOS:
            if scans is None:
                raise ImageCorrupt("The JPEG has a scan before its frame header.")
            scans.add(content[segment.body : segment.data])
            if scans.count > limits.max_jpeg_scans:
                raise ImageTooLarge(f"The JPEG has more than {limits.max_jpeg_scans} scans.")
    if frame is None or scans is None or not scans.count:
        raise ImageCorrupt("The JPEG has no picture in it.")
    most = _FULL_SCANS * limits.max_pixels
    if scans.count > _FULL_SCANS and scans.count * frame.width * frame.height > most:
        raise ImageTooLarge(f"The JPEG has too many scans, {scans.count}, for its size.")
    scans.check_complete()
    return StoredFrame(frame.width, frame.height, orientation or 1, tuple(segments))


def jpeg_pixels_only(content: bytes, segments: Sequence[JpegSegment]) -> bytes:
    """The same JPEG without metadata and without what follows its end marker.

    The pixels stay the same. What goes is what a strict decoder would stumble over though it has no
    part in the picture: damaged colour profiles, padding, and scan parameters that baseline ignores
    but some cameras fill with anything.
    """
    view = memoryview(content)  # of megabytes, which joining copies once
    parts: list[bytes | memoryview] = [b"\xff\xd8"]
    sequential = False
    for segment in segments:
        marker = segment.marker
        if marker in _FRAMES:
            sequential = marker in _SEQUENTIAL
        if marker == _SOS and sequential:
            parts += _full_spectrum_scan(view, segment)
        elif marker in _TABLES or marker in _FRAMES or marker in (_SOS, _APP0, _APP14):
            parts.append(view[segment.start : segment.end])
    parts.append(b"\xff\xd9")
    return b"".join(parts)


def _segments(content: bytes) -> Iterator[JpegSegment]:
    """Every segment between SOI and EOI."""
    position = 2
    for _ in range(_MAX_SEGMENTS):
        match = _NEXT_MARKER.match(content, position)
        if match is None:
            if content[position:].strip(b"\0\xff"):
                raise ImageCorrupt(f"The JPEG has no marker at byte {position} where one must be.")
            raise ImageTruncated("The JPEG ends before its end marker.")
        marker, after = content[match.start(1)], match.end()
        if marker == _EOI:
            return
        if marker == _SOI or marker == 0x01 or 0xD0 <= marker <= 0xD7:
            raise ImageCorrupt(f"The JPEG has a marker {marker:02X} where none may be.")
        segment = _segment_at(content, marker, after)
        yield segment
        position = segment.end
    raise ImageTooLarge(f"The JPEG has more than {_MAX_SEGMENTS} segments.")


def _segment_at(content: bytes, marker: int, after: int) -> JpegSegment:
    length = int.from_bytes(content[after : after + 2], "big")
    data = end = after + length
    if after + 2 > len(content) or end > len(content):
        raise ImageTruncated("The JPEG ends within a segment.")
    if length < 2:
        raise ImageCorrupt(f"The JPEG has a segment {marker:02X} without a length.")
    if marker == _SOS:
        scan_end = _SCAN_END.search(content, end)
        if scan_end is None:
            raise ImageTruncated("The JPEG ends within a scan.")
        end = scan_end.start()
    return JpegSegment(marker, after - 2, after + 2, data, end)


def _read_frame(content: bytes, segment: JpegSegment) -> StoredFrame:
    coding = _UNREADABLE.get(segment.marker)
    if coding is not None:
        raise ImageUnsupported(f"This JPEG is {coding}: save it as an ordinary JPEG.")
    body = content[segment.body : segment.end]
    if len(body) < 6 or len(body) != 6 + 3 * body[5]:
        raise ImageCorrupt("The JPEG's frame header is damaged.")
    if body[0] != 8:
        raise ImageUnsupported(f"This JPEG has {body[0]} bits a sample: save it with 8.")
    if body[5] not in (1, 3, 4):
        raise ImageUnsupported(f"This JPEG has {body[5]} colour components: save it as RGB.")
    height, width = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
    return StoredFrame(width, height)


def _full_spectrum_scan(content: memoryview, segment: JpegSegment) -> list[bytes | memoryview]:
    """A baseline scan with the only spectral selection that it can have: 0-63, all bits."""
    data = segment.data
    return [content[segment.start : data - 3], b"\0\x3f\0", content[data : segment.end]]
