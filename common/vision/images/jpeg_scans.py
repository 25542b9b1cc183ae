"""Whether the scans of a JPEG give all of its picture; a decoder paints what is missing in grey.

Source: ITU-T T.81, B.2.2 and B.2.3 (frame and scan headers), G.1.1 (progressive scans).
"""

from common.errors import ImageCorrupt, ImageTruncated

_COEFFICIENTS = 64
_MISSING = -1


class Scans:
    """What the scans so far give of each component's 64 coefficients."""

    def __init__(self, frame: bytes, *, progressive: bool) -> None:
        """frame: the frame header's parameters."""
        self._progressive = progressive
        self.count = 0
        # Of each coefficient, how many of its lowest bits are still to come.
        self._left = {name: [_MISSING] * _COEFFICIENTS for name in frame[6::3]}

    def add(self, scan: bytes) -> None:
        """Note a scan. scan: its header's parameters. Raises ImageCorrupt if they are damaged."""
        self.count += 1
        components = scan[0] if scan else 0
        if len(scan) < 4 + 2 * components:
            raise ImageCorrupt("The JPEG has a scan with a damaged header.")
        names = scan[1 : 1 + 2 * components : 2]
        first, last, bits = 0, _COEFFICIENTS - 1, 0
        if self._progressive:
            first, last, bits = *scan[1 + 2 * components :][:2], scan[3 + 2 * components] & 15
        for name in names:
            if name not in self._left or not first <= last < _COEFFICIENTS:
                raise ImageCorrupt("The JPEG has a scan of what its frame does not have.")
            self._left[name][first : last + 1] = [bits] * (last + 1 - first)

    def check_complete(self) -> None:
        """Raises ImageTruncated where a component, or the rest of a coefficient, never comes."""
        for first, *others in self._left.values():
            if first != 0 or any(left > 0 for left in others):
                raise ImageTruncated("The JPEG's picture is incomplete.")
