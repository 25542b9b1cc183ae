"""Damaged images: a whole picture or an InvalidImage, and never anybody else's pixels."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from common.config import ImageLimits
from common.errors import ImageCorrupt, ImageTruncated, InvalidImage
from common.vision.image import decode, read_header
from common.vision.types import BgrImage

WIDTH, HEIGHT = 64, 48
# So that a flipped bit of a header cannot make a test allocate gigabytes.
LIMITS = ImageLimits(max_pixels=1_000_000)


def read(content: bytes) -> BgrImage:
    header = read_header(content, LIMITS, max_bytes=1 << 20)
    image = decode(content, header)
    assert image.shape == (header.height, header.width, 3)
    return image


def encode(pixels: BgrImage, image_format: str, **options: object) -> bytes:
    out = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(out, image_format, exif=exif, **options)
    return out.getvalue()


def noise(seed: int) -> BgrImage:
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


WHOLE = {
    "JPEG": encode(noise(1), "JPEG"),
    "JPEG progressive": encode(noise(1), "JPEG", progressive=True),
    "JPEG restarts": encode(noise(1), "JPEG", restart_marker_blocks=2),
    "PNG": encode(noise(1), "PNG"),
    "WebP": encode(noise(1), "WEBP"),
    "WebP lossless": encode(noise(1), "WEBP", lossless=True),
}
JPEGS = [name for name in WHOLE if name.startswith("JPEG")]


def cuts(length: int) -> list[int]:
    """Every hundredth of a file, and its last bytes one by one."""
    return sorted(
        {length * percent // 100 for percent in range(100)} | {*range(length - 12, length)}
    )


@pytest.mark.parametrize("name", WHOLE)
def test_truncated_anywhere(name: str) -> None:
    content = WHOLE[name]
    for length in cuts(len(content)):
        with pytest.raises(InvalidImage):
            read(content[:length])


@pytest.mark.parametrize("name", JPEGS)
def test_a_jpeg_whose_middle_is_missing(name: str) -> None:
    """The end marker is there, so only the decoder can tell."""
    content = WHOLE[name]
    start = content.index(b"\xff\xda") + 20
    for length in range(start, len(content) - 12, 97):
        with pytest.raises(InvalidImage):
            read(content[:length] + b"\xff\xd9")


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(rows: bytes, *, interlaced: bool = False, compressed: int | None = None) -> bytes:
    """A PNG with right checksums; of its compressed pixels only the first bytes where wished."""
    head = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, int(interlaced))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (
            chunk(b"IHDR", head),
            chunk(b"IDAT", zlib.compress(rows)[:compressed]),
            chunk(b"IEND", b""),
        )
    )


ROWS = b"".join(b"\0" + row.tobytes() for row in noise(1))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(png(ROWS[: len(ROWS) // 2]), id="half the rows"),
        pytest.param(png(ROWS[:-1]), id="a byte short"),
        pytest.param(png(b""), id="no rows"),
        pytest.param(png(ROWS, compressed=3000), id="compression cut"),
        pytest.param(png(ROWS[:4000], interlaced=True), id="interlaced, passes missing"),
    ],
)
def test_a_png_with_right_checksums_and_missing_pixels(content: bytes) -> None:
    with pytest.raises(InvalidImage):
        read(content)


@pytest.mark.parametrize("name", ["WebP", "WebP lossless"])
def test_a_webp_with_right_sizes_and_missing_pixels(name: str) -> None:
    content = WHOLE[name]
    kind = b"VP8 " if name == "WebP" else b"VP8L"
    start = content.index(kind) + 8
    for kept in (40, 400, 2000):
        body = content[start : start + kept]
        riff = b"WEBP" + kind + struct.pack("<I", kept) + body
        with pytest.raises(InvalidImage):
            read(b"RIFF" + struct.pack("<I", len(riff)) + riff)


def test_a_png_with_a_wrong_checksum() -> None:
    content = bytearray(WHOLE["PNG"])
    content[len(content) // 2] ^= 1
    with pytest.raises(ImageCorrupt, match="checksum"):
        read(bytes(content))


def test_an_incomplete_jpeg_is_called_incomplete() -> None:
    content = WHOLE["JPEG"]
    with pytest.raises(ImageTruncated):
        read(content[: len(content) // 2] + b"\xff\xd9")


@pytest.mark.parametrize("name", JPEGS)
def test_nothing_of_an_earlier_image_appears_in_a_broken_one(name: str) -> None:
    """The known fault of long-lived decoders: what is missing of B is filled with A."""
    guest = encode(np.full((HEIGHT, WIDTH, 3), 200, np.uint8), "JPEG")
    broken = WHOLE[name]
    for length in range(broken.index(b"\xff\xda") + 20, len(broken) - 12, 211):
        read(guest)
        with pytest.raises(InvalidImage):
            read(broken[:length] + b"\xff\xd9")
    np.testing.assert_array_equal(read(guest), np.full((WIDTH, HEIGHT, 3), 200, np.uint8))


@pytest.mark.parametrize("name", WHOLE)
def test_an_image_is_the_same_whatever_was_decoded_before(name: str) -> None:
    alone = read(WHOLE[name]).copy()
    between = read(encode(noise(2), WHOLE_FORMAT[name]))
    again = read(WHOLE[name])
    between[:] = 0
    np.testing.assert_array_equal(alone, again)
    assert not np.shares_memory(between, again)


WHOLE_FORMAT = {name: name.split()[0].upper() for name in WHOLE}


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """An image with a few bytes overwritten, removed or inserted."""
    content = bytearray(WHOLE[draw(st.sampled_from(sorted(WHOLE)))])
    for _ in range(draw(st.integers(1, 4))):
        # Headers are worth more hits than their share of the bytes.
        last = draw(st.sampled_from((64, 700, len(content) - 1)))
        at = draw(st.integers(0, min(last, len(content) - 1)))
        length = draw(st.sampled_from((0, 1, 1, 1, 4)))
        content[at : at + length] = draw(st.binary(min_size=0, max_size=4))
    return bytes(content)


@settings(max_examples=600, deadline=None)
@given(content=damaged())
def test_damage_gives_an_image_or_an_invalid_image(content: bytes) -> None:
    try:
        read(content)
    except InvalidImage as error:
        assert error.message


@settings(max_examples=200, deadline=None)
@given(
    start=st.sampled_from(
        (
            b"",
            b"\xff\xd8\xff",
            b"\x89PNG\r\n\x1a\n",
            b"RIFF\x40\0\0\0WEBPVP8 ",
            b"RIFF\x40\0\0\0WEBP",
        )
    ),
    rest=st.binary(max_size=200),
)
def test_arbitrary_bytes_are_an_invalid_image(start: bytes, rest: bytes) -> None:
    with pytest.raises(InvalidImage):
        read(start + rest)
