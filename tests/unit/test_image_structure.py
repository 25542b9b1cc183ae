"""Files of right parts in wrong order, number and size: what a mutation of bytes hardly makes."""

import struct
import zlib

from hypothesis import given, settings
from hypothesis import strategies as st
from malformed_images import chunk, encode, portrait, segment

from common.config import ImageLimits
from common.errors import InvalidImage
from common.vision.images.image import decode, divisors, read_header

LIMITS = ImageLimits(max_pixels=1_000_000)
SIDES = st.sampled_from((0, 1, 16, 48, 49, 65_535))
IMAGE = portrait(48)


def parts_of_jpeg(content: bytes) -> list[bytes]:
    segments = read_header(content, LIMITS, max_bytes=1 << 20).segments
    return [content[each.start : each.end] for each in segments]


JPEG = [
    *parts_of_jpeg(encode(IMAGE, "JPEG")),
    *parts_of_jpeg(encode(IMAGE, "JPEG", progressive=True)),
    *parts_of_jpeg(encode(IMAGE.convert("L"), "JPEG", restart_marker_blocks=1)),
]
PIXELS = zlib.compress(b"".join(b"\0" + bytes(48 * 3) for _ in range(48)))
WEBP = [encode(IMAGE, "WEBP")[12:], encode(IMAGE, "WEBP", lossless=True)[12:]]


def read(content: bytes) -> None:
    """A picture of the size that its header says, in each fraction, or an InvalidImage."""
    try:
        header = read_header(content, LIMITS, max_bytes=1 << 20)
        for divisor in divisors(header):
            image = decode(content, header, divisor)
            assert image.shape == (header.height // divisor, header.width // divisor, 3)
    except InvalidImage as error:
        assert error.message


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    marker = draw(st.sampled_from((0xC0, 0xC1, 0xC2, 0xC3, 0xC9)))
    components = draw(st.integers(0, 5))
    sampling = st.sampled_from((0x00, 0x11, 0x21, 0x22, 0x44, 0xFF))
    each = b"".join(
        bytes((n + 1, draw(sampling), draw(st.integers(0, 4)))) for n in range(components)
    )
    bits, height, width = draw(st.sampled_from((8, 12, 0))), draw(SIDES), draw(SIDES)
    return segment(marker, struct.pack(">BHHB", bits, height, width, components) + each)


@st.composite
def scan_headers(draw: st.DrawFn) -> bytes:
    names = draw(st.lists(st.integers(0, 4), max_size=4))
    each = b"".join(bytes((name, draw(st.sampled_from((0x00, 0x11, 0xFF))))) for name in names)
    spectrum = draw(st.sampled_from((b"\0\x3f\0", b"\0\0\x01", b"\x01\x05\x12", b"\x3f\x01\xff")))
    return (
        segment(0xDA, bytes([len(names)]) + each + spectrum) + draw(st.binary(max_size=40)) + b"\0"
    )


tables = st.builds(segment, st.sampled_from((0xC4, 0xDB, 0xDD, 0xE1, 0xEE)), st.binary(max_size=70))


@settings(max_examples=300, deadline=None)
@given(
    parts=st.lists(st.one_of(st.sampled_from(JPEG), frames(), scan_headers(), tables), max_size=24)
)
def test_any_parts_of_a_jpeg(parts: list[bytes]) -> None:
    read(b"\xff\xd8" + b"".join(parts) + b"\xff\xd9")


@settings(max_examples=300, deadline=None)
@given(
    start=st.integers(0, len(JPEG)),
    length=st.integers(1, len(JPEG)),
    more=st.lists(st.one_of(frames(), scan_headers(), tables), max_size=2),
    at=st.integers(0, 20),
)
def test_a_jpeg_with_parts_missing_or_added(
    start: int, length: int, more: list[bytes], at: int
) -> None:
    parts = JPEG[start : start + length]
    parts[at:at] = more
    read(b"\xff\xd8" + b"".join(parts) + b"\xff\xd9")


@st.composite
def chunks(draw: st.DrawFn) -> bytes:
    kind = draw(
        st.sampled_from(
            (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IDAT", b"IEND", b"eXIf", b"fcTL", b"fdAT")
        )
    )
    if kind == b"IHDR":
        colour, depth = draw(st.sampled_from(range(8))), draw(st.sampled_from((0, 1, 8, 16, 32)))
        rest = bytes((depth, colour, draw(st.integers(0, 1)), 0, draw(st.integers(0, 2))))
        return chunk(kind, struct.pack(">II", draw(SIDES), draw(SIDES)) + rest)
    cut = draw(st.integers(0, len(PIXELS)))
    body = st.sampled_from((PIXELS, PIXELS[:cut], PIXELS[cut:])) if kind == b"IDAT" else st.binary()
    return chunk(kind, draw(body))


@settings(max_examples=300, deadline=None)
@given(parts=st.lists(chunks(), max_size=8), good=st.booleans())
def test_any_parts_of_a_png(parts: list[bytes], good: bool) -> None:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 48, 48, 8, 2, 0, 0, 0))
    read(b"\x89PNG\r\n\x1a\n" + head * good + b"".join(parts) + chunk(b"IEND", b""))


@settings(max_examples=300, deadline=None)
@given(
    parts=st.lists(
        st.one_of(
            st.sampled_from(WEBP),
            st.tuples(
                st.sampled_from((b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"EXIF")),
                st.binary(max_size=60),
            ).map(
                lambda part: (
                    part[0] + struct.pack("<I", len(part[1])) + part[1] + b"\0" * (len(part[1]) % 2)
                )
            ),
        ),
        max_size=5,
    ),
    size=st.integers(-9, 9),
)
def test_any_parts_of_a_webp(parts: list[bytes], size: int) -> None:
    body = b"WEBP" + b"".join(parts)
    read(b"RIFF" + struct.pack("<I", max(len(body) + size, 0)) + body)
