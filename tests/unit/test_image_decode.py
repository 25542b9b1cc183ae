"""Pixels: those of `cv2.imdecode`, upright, whatever the file's colours and orientation are."""

import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from orientations import STORED
from PIL import Image

from common.config import EngineSettings, ImageLimits
from common.errors import ImageCorrupt
from common.vision.engines import load_engine
from common.vision.images.image import decode, read_header
from common.vision.images.picture import Picture
from common.vision.types import AnalyzeOptions, BgrImage

Pixels = NDArray[np.uint8]
MAX_BYTES = 32 << 20
WIDTH, HEIGHT = 50, 35


def read(content: bytes) -> BgrImage:
    return decode(content, read_header(content, ImageLimits(), max_bytes=MAX_BYTES))


def by_opencv(content: bytes) -> Pixels:
    """What a user of OpenCV would get; the orientation is ours to apply."""
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    assert pixels is not None
    return np.asarray(pixels, np.uint8)


def scene() -> Image.Image:
    """Smooth enough for a lossy codec, different in every corner and every channel."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float64)
    channels = [255 * x / WIDTH, 255 * y / HEIGHT, 127 + 120 * np.sin(x / 9) * np.cos(y / 7)]
    return Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8))


def encode(image: Image.Image, image_format: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, image_format, **options)
    return out.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_16_bit(colour_type: int, channels: int) -> bytes:
    samples = np.random.default_rng(2).integers(0, 65536, (HEIGHT, WIDTH, channels))
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    head = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 16, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    )


def with_alpha(image: Image.Image) -> Image.Image:
    image = image.convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return image


def adobe(content: bytes, transform: int) -> bytes:
    """The same JPEG with the colour transform that Adobe's marker states, and without JFIF's."""
    frame = content.index(b"\xff\xdb")
    marker = b"\xff\xee\x00\x0eAdobe\0\x64\0\0\0\0" + bytes([transform])
    return content[:2] + marker + content[frame:]


def renamed_components(content: bytes) -> bytes:
    """The same JPEG with components named R, G, B, which JFIF's marker says are none."""
    frame, scan = content.index(b"\xff\xc0"), content.index(b"\xff\xda")
    renamed = bytearray(content)
    for n, name in enumerate(b"RGB"):
        renamed[frame + 10 + 3 * n] = name
        renamed[scan + 5 + 2 * n] = name
    return bytes(renamed)


SAMPLES = {
    "JPEG 4:4:4": encode(scene(), "JPEG", quality=90, subsampling=0),
    "JPEG 4:2:2": encode(scene(), "JPEG", quality=90, subsampling=1),
    "JPEG 4:2:0": encode(scene(), "JPEG", quality=90, subsampling=2),
    "JPEG progressive": encode(scene(), "JPEG", quality=90, progressive=True),
    "JPEG restarts": encode(scene(), "JPEG", quality=90, restart_marker_blocks=2),
    "JPEG RGB": encode(scene(), "JPEG", quality=90, keep_rgb=True),
    "JPEG Adobe RGB": adobe(encode(scene(), "JPEG", quality=90, subsampling=0), 0),
    "JPEG JFIF with components R, G, B": renamed_components(encode(scene(), "JPEG", quality=90)),
    "JPEG YCCK": adobe(encode(scene().convert("CMYK"), "JPEG", quality=90), 2),
    "JPEG grey": encode(scene().convert("L"), "JPEG", quality=90),
    "JPEG CMYK": encode(scene().convert("CMYK"), "JPEG", quality=90),
    "PNG": encode(scene(), "PNG"),
    "PNG alpha": encode(with_alpha(scene()), "PNG"),
    "PNG grey": encode(scene().convert("L"), "PNG"),
    "PNG grey alpha": encode(scene().convert("LA"), "PNG"),
    "PNG black and white": encode(scene().convert("1"), "PNG"),
    "PNG palette": encode(scene().quantize(64), "PNG"),
    "PNG palette of 4 bits": encode(scene().quantize(16), "PNG", bits=4),
    "PNG palette with transparency": encode(scene().quantize(64), "PNG", transparency=3),
    "PNG 16-bit grey": png_16_bit(0, 1),
    "PNG 16-bit": png_16_bit(2, 3),
    "PNG 16-bit grey alpha": png_16_bit(4, 2),
    "PNG 16-bit alpha": png_16_bit(6, 4),
    "WebP": encode(scene(), "WEBP", quality=90),
    "WebP lossless": encode(scene(), "WEBP", lossless=True),
    "WebP alpha": encode(with_alpha(scene()), "WEBP", quality=90, exact=True),
    "WebP lossless alpha": encode(with_alpha(scene()), "WEBP", lossless=True, exact=True),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_pixels_are_those_of_opencv(name: str) -> None:
    image = read(SAMPLES[name])
    expected = by_opencv(SAMPLES[name])
    assert image.shape == (HEIGHT, WIDTH, 3)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert image.flags.writeable
    assert np.abs(image.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("name", ["PNG", "PNG alpha", "WebP lossless", "WebP lossless alpha"])
def test_lossless_images_keep_every_pixel(name: str) -> None:
    np.testing.assert_array_equal(read(SAMPLES[name])[..., ::-1], np.asarray(scene()))


def test_a_cmyk_jpeg_shows_the_same_picture() -> None:
    off = np.abs(read(SAMPLES["JPEG CMYK"])[..., ::-1].astype(int) - np.asarray(scene()))
    assert off.mean() < 3


def photographed(orientation: int, image_format: str, **options: object) -> bytes:
    turn = STORED[orientation]
    stored = scene() if turn is None else scene().transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(stored, image_format, exif=exif, **options)


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("image_format", ["PNG", "WEBP"])
def test_orientation_is_undone_exactly(orientation: int, image_format: str) -> None:
    content = photographed(orientation, image_format, lossless=True)
    found = read_header(content, ImageLimits(), max_bytes=MAX_BYTES)
    assert (found.orientation, found.width, found.height) == (orientation, WIDTH, HEIGHT)
    image = decode(content, found)
    assert image.flags.c_contiguous
    np.testing.assert_array_equal(image[..., ::-1], np.asarray(scene()))


@pytest.mark.parametrize("orientation", STORED)
def test_orientation_of_a_jpeg_is_undone_once(orientation: int) -> None:
    content = photographed(orientation, "JPEG", quality=95, subsampling=0)
    image = read(content)
    assert image.shape == (HEIGHT, WIDTH, 3)
    assert np.abs(image[..., ::-1].astype(int) - np.asarray(scene())).mean() < 3
    turned_by_opencv = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert turned_by_opencv is not None
    assert np.abs(image.astype(int) - turned_by_opencv).max() <= 1


def exif_block(order: str, kind: int, value: bytes, *, directory: int = 8) -> bytes:
    magic = b"II*\0" if order == "<" else b"MM\0*"
    entry = struct.pack(f"{order}HHI", 0x0112, kind, 1) + value.ljust(4, b"\0")
    return magic + struct.pack(f"{order}IH", directory, 1) + entry + b"\0\0\0\0"


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        pytest.param(exif_block(">", 3, b"\0\x06"), 6, id="big-endian"),
        pytest.param(exif_block("<", 4, b"\x06\0\0\0"), 6, id="long"),
        pytest.param(exif_block("<", 3, b"\x09\0"), 1, id="out of range"),
        pytest.param(exif_block("<", 3, b"\0\0"), 1, id="zero"),
        pytest.param(exif_block("<", 2, b"6\0"), 1, id="text"),
        pytest.param(exif_block("<", 3, b"\x06\0", directory=2**32 - 1), 1, id="points outside"),
        pytest.param(exif_block("<", 3, b"\x06\0")[:13], 1, id="cut"),
        pytest.param(b"", 1, id="empty"),
        pytest.param(b"no TIFF at all", 1, id="garbage"),
    ],
)
def test_damaged_exif_never_costs_the_photo(block: bytes, expected: int) -> None:
    content = SAMPLES["JPEG 4:2:0"]
    body = b"Exif\0\0" + block
    app1 = struct.pack(">HH", 0xFFE1, len(body) + 2) + body
    tagged = content[:2] + app1 + content[2:]
    assert read_header(tagged, ImageLimits(), max_bytes=MAX_BYTES).orientation == expected
    assert read(tagged).size == read(content).size


def test_of_two_exif_blocks_the_first_counts() -> None:
    content = SAMPLES["JPEG 4:2:0"]
    tags = b""
    for orientation in (b"\x01", b"\x06"):
        body = b"Exif\0\0" + exif_block("<", 3, orientation)
        tags += struct.pack(">HH", 0xFFE1, len(body) + 2) + body
    assert read(content[:2] + tags + content[2:]).shape == (HEIGHT, WIDTH, 3)


def oddities() -> dict[str, bytes]:
    """Faults that cameras make and that have no part in the picture."""
    content = SAMPLES["JPEG 4:2:0"]
    scan = content.index(b"\xff\xda")
    parameters = scan + 2 + int.from_bytes(content[scan + 2 : scan + 4], "big") - 3
    profile = b"\xff\xe2\x00\x14ICC_PROFILE\0\x07\x03abcd"
    return {
        "damaged colour profile": content[:2] + profile + content[2:],
        "zeros between segments": content[:scan] + b"\0\0\0\0" + content[scan:],
        "fill bytes before a marker": content[:scan] + b"\xff\xff\xff" + content[scan:],
        "scan parameters of nothing": content[:parameters] + b"\0\0\0" + content[parameters + 3 :],
        "junk before the end": content[:-2] + b"\0\0\0\0\0\0\0\0\0\xff\xd9",
        "a film behind the end": content + b"\0\0\0\x18ftypmp42" + b"\xff\xd8" * 50,
    }


@pytest.mark.parametrize("name", oddities())
def test_harmless_faults_of_cameras_change_no_pixel(name: str) -> None:
    np.testing.assert_array_equal(read(oddities()[name]), read(SAMPLES["JPEG 4:2:0"]))


def test_metadata_bombs_never_reach_the_decoder() -> None:
    content = SAMPLES["PNG"]
    text = chunk(b"zTXt", b"comment\0\0" + zlib.compress(b"\0" * (64 << 20)))
    profile = chunk(b"iCCP", b"icc\0\0not even compressed")
    end_of_header = 8 + 12 + 13
    bomb = content[:end_of_header] + profile + text + content[end_of_header:]
    np.testing.assert_array_equal(read(bomb), read(content))


def test_an_image_that_is_not_the_size_it_says() -> None:
    content = SAMPLES["WebP lossless"]
    header = read_header(content, ImageLimits(), max_bytes=MAX_BYTES)
    other = encode(scene().resize((WIDTH, HEIGHT + 1)), "WEBP", lossless=True)
    with pytest.raises(ImageCorrupt):
        decode(other, header)


@pytest.mark.photos
def test_an_alpha_channel_changes_no_face(photos_dir: Path, packs_dir: Path) -> None:
    """rgba_32bit.png is obama_2.jpg, edited and saved again with an alpha channel."""
    engine = load_engine(EngineSettings(kind="onnx", pack=str(packs_dir / "scrfd25g-mbf128")))
    templates = []
    for name in ("obama_2.jpg", "rgba_32bit.png"):
        image = read((photos_dir / name).read_bytes())
        (face,) = engine.analyze(Picture.of(image), AnalyzeOptions()).faces
        assert face.embedding is not None
        templates.append(face.embedding)
    assert templates[0] @ templates[1] > 0.99


@pytest.mark.photos
def test_real_photos_have_the_pixels_of_opencv(photos_dir: Path) -> None:
    for path in sorted((*photos_dir.glob("*.jpg"), *photos_dir.glob("*.png"))):
        content = path.read_bytes()
        off = np.abs(read(content).astype(int) - by_opencv(content)).max()
        assert off <= 1, path.name
