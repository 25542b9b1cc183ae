"""How much a PNG's compressed picture must unpack to, and whether it does.

Decoders unpack all there is and pass over what is too much: two megabytes of it take them seconds.

Source: W3C PNG (third edition), sections 7.2 (rows), 8.1 (Adam7) and 11.2.1 (IHDR).
"""

import struct
import zlib

from common.errors import ImageCorrupt, ImageTooLarge, ImageTruncated

_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_DEPTHS = (1, 2, 4, 8, 16)
_ADAM7 = (
    (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
    (0, 1, 1, 2),
)  # fmt: skip
"""x and y of each pass's first pixel, and its steps."""
_PIECE = 1 << 20
_SLACK = 1 << 16
"""Bytes too many that are let pass: some encoders flush a little more than the last row."""


class PngRows:
    """Unpacks a picture's rows, counts them, and keeps none."""

    def __init__(self, ihdr: bytes) -> None:
        """ihdr: the 13 bytes of the header chunk. Raises ImageCorrupt."""
        width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", ihdr)
        if colour not in _SAMPLES or depth not in _DEPTHS or interlaced > 1:
            raise ImageCorrupt("The PNG's header is damaged.")
        bits = depth * _SAMPLES[colour]
        passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
        self._expected = sum(
            _pass_bytes(-(-(width - x) // across), -(-(height - y) // down), bits)
            for x, y, across, down in passes
        )
        self._unpacked = 0
        self._inflate = zlib.decompressobj()

    def unpack(self, data: bytes | memoryview) -> None:
        """Take the next compressed bytes. Raises ImageCorrupt or ImageTooLarge."""
        left: bytes | memoryview = data
        while left and not self._inflate.eof:
            try:
                self._unpacked += len(self._inflate.decompress(left, _PIECE))
            except zlib.error:
                if self._unpacked < self._expected:
                    raise ImageCorrupt("The PNG is damaged: it cannot be unpacked.") from None
                return  # behind the picture
            if self._unpacked > self._expected + _SLACK:
                raise ImageTooLarge("The PNG unpacks to more than its picture has.")
            left = self._inflate.unconsumed_tail

    def check_complete(self) -> None:
        """Raises ImageTruncated where rows are missing."""
        if self._unpacked < self._expected:
            raise ImageTruncated("The PNG's picture is incomplete.")


def _pass_bytes(width: int, height: int, bits: int) -> int:
    """Of a pass over so many pixels; each of its rows begins with the number of its filter."""
    return 0 if width <= 0 else max(height, 0) * (1 + (width * bits + 7) // 8)
