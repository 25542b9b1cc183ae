"""The orientation tag of an EXIF block, and nothing else of it."""

import struct

_ORIENTATION_TAG = 0x0112
_FIELD_FORMATS = {1: "B", 3: "H", 4: "I"}  # TIFF's BYTE, SHORT and LONG
_ENTRY_SIZE = 12


def exif_orientation(block: bytes) -> int:
    """The orientation (1-8) that an EXIF block states; 1 where it states none or is damaged.

    block: a TIFF structure, with or without `Exif\\0\\0` before it. A photo is worth more than its
    metadata: damage here never rejects it. Only the first directory is read: no loop is possible.
    Source: EXIF 3.0 (CIPA DC-008), section 4.6.
    """
    tiff = memoryview(block.removeprefix(b"Exif\0\0"))
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(bytes(tiff[:4]))
    if order is None:
        return 1
    try:
        value = _first_directory_value(tiff, order)
    except struct.error:  # it points outside the block
        return 1
    return value if 1 <= value <= 8 else 1


def _first_directory_value(tiff: memoryview, order: str) -> int:
    (start,) = struct.unpack_from(f"{order}I", tiff, 4)
    (count,) = struct.unpack_from(f"{order}H", tiff, start)
    for offset in range(start + 2, start + 2 + count * _ENTRY_SIZE, _ENTRY_SIZE):
        tag, kind = struct.unpack_from(f"{order}HH", tiff, offset)
        if tag == _ORIENTATION_TAG and kind in _FIELD_FORMATS:
            (value,) = struct.unpack_from(f"{order}{_FIELD_FORMATS[kind]}", tiff, offset + 8)
            return int(value)
    return 1
