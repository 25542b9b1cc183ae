"""Damaged images: a whole picture or an InvalidImage, and never anybody else's pixels."""

import io
import struct
import zlib
from bisect import bisect_left

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from common.config import ImageLimits
from common.errors import ImageCorrupt, ImageTooLarge, ImageTruncated, InvalidImage
from common.vision.images.image import decode, read_header
from common.vision.images.png_rows import PngRows
from common.vision.types import BgrImage

WIDTH, HEIGHT = 64, 48
# So that a flipped bit of a header cannot make a test allocate gigabytes.
LIMITS = ImageLimits(max_pixels=1_000_000)
HEAD = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)


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


@pytest.mark.parametrize("colours", ["RGB", "L"])
def test_a_jpeg_cut_between_two_scans(colours: str) -> None:
    """Nothing is damaged, the end marker is there, and no decoder warns of what never comes."""
    content = encode(noise(1), "JPEG", progressive=True)
    if colours == "L":
        content = encode(noise(1)[..., 0], "JPEG", progressive=True)
    scans = [
        s for s in read_header(content, LIMITS, max_bytes=1 << 20).segments if s.marker == 0xDA
    ]
    assert len(scans) > 5
    for scan in scans[:-1]:
        with pytest.raises(ImageTruncated):
            read(content[: scan.end] + b"\xff\xd9")


def test_a_jpeg_without_the_scans_of_a_colour() -> None:
    content = interleaved_no_more(WHOLE["JPEG"])
    frames = read_header(content, LIMITS, max_bytes=1 << 20)
    assert frames.width == HEIGHT  # it is turned
    last = content.rindex(b"\xff\xda")
    with pytest.raises(ImageTruncated):
        read(content[:last] + b"\xff\xd9")


def interleaved_no_more(content: bytes) -> bytes:
    """The header of a JPEG with a scan for each of its colours; their data are those of all."""
    scan = content.index(b"\xff\xda")
    data = content[scan + 14 : -2]
    scans = (b"\xff\xda\0\x08\x01%c\x00\0\x3f\0" % name + data for name in (1, 2, 3))
    return content[:scan] + b"".join(scans) + b"\xff\xd9"


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(rows: bytes, *, interlaced: bool = False, compressed: int | None = None) -> bytes:
    """A PNG with right checksums; of its compressed pixels only the first bytes where wished."""
    head = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, int(interlaced))
    return with_pixels(zlib.compress(rows)[:compressed], head)


def with_pixels(packed: bytes, head: bytes = HEAD) -> bytes:
    chunks = (chunk(b"IHDR", head), chunk(b"IDAT", packed), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


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


def test_a_small_png_that_unpacks_to_gigabytes() -> None:
    """OpenCV unpacks all of them, and then shows the picture that stands before."""
    packer = zlib.compressobj()
    packed = [packer.compress(ROWS), *(packer.compress(bytes(1 << 20)) for _ in range(1 << 9))]
    bomb = with_pixels(b"".join((*packed, packer.flush())))
    assert len(bomb) < 1 << 20
    with pytest.raises(ImageTooLarge, match="unpacks"):
        read(bomb)
    np.testing.assert_array_equal(read(png(ROWS + b"\0\0\0")), read(png(ROWS)))


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(16, 40),
    height=st.integers(16, 40),
    kind=st.sampled_from([(0, 1), (0, 2), (0, 4), (0, 16), (2, 8), (2, 16), (4, 8), (6, 16)]),
    interlaced=st.booleans(),
)
def test_every_kind_of_png_unpacks_to_what_is_expected_of_it(
    width: int, height: int, kind: tuple[int, int], interlaced: bool
) -> None:
    colour, depth = kind
    ihdr = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced))
    least = bisect_left(range(60_000), True, key=lambda size: whole(ihdr, bytes(size)))
    assert decoded(ihdr, bytes(least))
    assert not decoded(ihdr, bytes(least - 1))


def whole(ihdr: bytes, rows: bytes) -> bool:
    counted = PngRows(ihdr)
    counted.unpack(zlib.compress(rows, 0))
    try:
        counted.check_complete()
    except ImageTruncated:
        return False
    return True


def decoded(ihdr: bytes, rows: bytes) -> bool:
    """Whether OpenCV finds all rows."""
    content = with_pixels(zlib.compress(rows), ihdr)
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) is not None


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
