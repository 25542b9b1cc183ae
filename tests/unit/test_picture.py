"""Shrunk pixels are those of the whole photo, and each photo is decoded as often as it must be."""

import io
import time
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import pytest
from orientations import STORED
from PIL import Image

from common.config import ImageLimits
from common.errors import ImageCorrupt, InvalidImage
from common.vision.fake.engine import FakeEngine
from common.vision.fake.photos import fake_photo
from common.vision.images.image import decode, divisors, read_header
from common.vision.images.picture import Picture, View
from common.vision.types import AnalyzeOptions, BgrImage, Box

LIMITS = ImageLimits()
MAX_BYTES = 32 << 20
WIDTH, HEIGHT = 232, 168
DIVISORS = (1, 2, 4, 8)


def scene(width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """Smooth enough for a lossy codec, different in every corner and every channel."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    channels = [255 * x / width, 255 * y / height, 127 + 120 * np.sin(x / 40) * np.cos(y / 35)]
    return Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8))


def encode(image: Image.Image, image_format: str = "JPEG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, image_format, **({"quality": 95} | options))
    return out.getvalue()


def photographed(orientation: int, image: Image.Image) -> bytes:
    turn = STORED[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(image if turn is None else image.transpose(turn), exif=exif)


def read(content: bytes, divisor: int = 1) -> BgrImage:
    return decode(content, read_header(content, LIMITS, max_bytes=MAX_BYTES), divisor)


def shrunk(image: BgrImage, divisor: int) -> BgrImage:
    size = (image.shape[1] // divisor, image.shape[0] // divisor)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def assert_alike(one: BgrImage, other: BgrImage) -> None:
    assert one.shape == other.shape
    assert one.flags.c_contiguous
    off = np.abs(one.astype(int) - other)
    assert off.mean() < 3
    assert off.max() < 16


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("divisor", DIVISORS)
def test_shrunk_photos_are_upright(orientation: int, divisor: int) -> None:
    content = photographed(orientation, scene())
    image = read(content, divisor)
    assert_alike(image, shrunk(np.ascontiguousarray(np.asarray(scene())[:, :, ::-1]), divisor))


KINDS = {
    "4:4:4": encode(scene(), subsampling=0),
    "4:2:2": encode(scene(), subsampling=1),
    "4:2:0": encode(scene(), subsampling=2),
    "progressive": encode(scene(), progressive=True),
    "restarts": encode(scene(), restart_marker_blocks=2),
    "grey": encode(scene().convert("L")),
    "CMYK": encode(scene().convert("CMYK")),
}


@pytest.mark.parametrize("divisor", DIVISORS[1:])
@pytest.mark.parametrize("kind", KINDS)
def test_shrunk_photos_of_every_kind(kind: str, divisor: int) -> None:
    assert_alike(read(KINDS[kind], divisor), shrunk(read(KINDS[kind]), divisor))


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((160, 120), (1, 2, 4, 8)),
        ((164, 120), (1, 2, 4)),
        ((160, 122), (1, 2)),
        ((161, 120), (1,)),
        ((160, 121), (1,)),
    ],
)
@pytest.mark.parametrize("orientation", [1, 3, 6, 7])
def test_photos_are_shrunk_where_nothing_is_left_over(
    size: tuple[int, int], expected: tuple[int, ...], orientation: int
) -> None:
    content = photographed(orientation, scene(*size))
    assert divisors(read_header(content, LIMITS, max_bytes=MAX_BYTES)) == expected
    for divisor in expected:
        assert_alike(read(content, divisor), shrunk(read(content), divisor))


@pytest.mark.parametrize("divisor", DIVISORS)
@pytest.mark.parametrize("kind", KINDS)
def test_incomplete_photos_are_refused_at_every_scale(kind: str, divisor: int) -> None:
    """The end marker is there, so only the decoder can tell."""
    content = KINDS[kind]
    start = content.index(b"\xff\xda") + 20
    for length in range(start, len(content) - 12, max((len(content) - start) // 40, 1)):
        with pytest.raises(InvalidImage):
            read(content[:length] + b"\xff\xd9", divisor)


@pytest.mark.parametrize("divisor", DIVISORS[1:])
def test_damaged_photos_are_refused_at_every_scale_alike(divisor: int) -> None:
    rng = np.random.default_rng(3)
    noise = Image.fromarray(rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8))
    content = encode(noise)
    refused = 0
    for place in rng.integers(content.index(b"\xff\xda") + 20, len(content) - 4, 60):
        damaged = bytearray(content)
        damaged[place : place + 2] = b"\x55\xaa"
        alike = {fault(bytes(damaged), scale) for scale in (1, divisor)}
        assert len(alike) == 1
        refused += alike != {None}
    assert refused > 0


def fault(content: bytes, divisor: int) -> str | None:
    """Why a photo is refused; None where it is decoded."""
    try:
        read(content, divisor)
    except InvalidImage as error:
        return error.reason
    return None


def test_a_photo_that_is_not_the_size_it_says() -> None:
    content = encode(scene(WIDTH + 8, HEIGHT))
    header = read_header(content, LIMITS, max_bytes=MAX_BYTES)
    for divisor in DIVISORS:
        with pytest.raises(ImageCorrupt):
            decode(content, replace(header, width=WIDTH), divisor)


@dataclass
class Decoder:
    """Counts how a picture is decoded."""

    image: BgrImage
    asked: list[int] = field(default_factory=list)

    def __call__(self, divisor: int) -> BgrImage:
        self.asked.append(divisor)
        time.sleep(0.01)
        return shrunk(self.image, divisor)

    def picture(self) -> Picture:
        return Picture(self.image.shape[1], self.image.shape[0], self, DIVISORS)


@pytest.fixture
def decoder() -> Decoder:
    return Decoder(np.ascontiguousarray(np.asarray(scene())[:, :, ::-1]))


@pytest.mark.parametrize(
    ("scale", "divisor"),
    [(1, 1), (0.51, 1), (0.5, 2), (0.26, 2), (0.25, 4), (0.13, 4), (0.125, 8), (0.01, 8), (3, 1)],
)
def test_the_coarsest_view_that_is_fine_enough(
    decoder: Decoder, scale: float, divisor: int
) -> None:
    view = decoder.picture().view(scale)
    assert decoder.asked == [divisor]
    assert view.scale == 1 / divisor
    assert view.pixels.shape[:2] == (HEIGHT // divisor, WIDTH // divisor)


def test_coarse_and_then_fine(decoder: Decoder) -> None:
    picture = decoder.picture()
    coarse = picture.view(0.2)
    assert picture.view(0.1) is coarse
    assert picture.view(0.25) is coarse
    before = picture.decode_s
    fine = picture.view()
    assert (fine.scale, picture.decode_s > before > 0) == (1, True)
    assert picture.view(0.2) is fine
    assert decoder.asked == [4, 1]


def test_only_jpegs_are_shrunk() -> None:
    for image_format, scale in (("JPEG", 0.5), ("PNG", 1), ("WEBP", 1)):
        content = encode(scene(), image_format)
        picture = Picture.open(content, LIMITS, max_bytes=MAX_BYTES)
        assert (picture.width, picture.height) == (WIDTH, HEIGHT)
        assert picture.view(0.5).scale == scale


def test_an_image_is_checked_before_it_is_decoded() -> None:
    content = encode(scene())
    with pytest.raises(InvalidImage):
        Picture.open(content, LIMITS, max_bytes=len(content) - 1)
    picture = Picture.open(content[:-200] + b"\xff\xd9", LIMITS, max_bytes=MAX_BYTES)
    for scale in (0.125, 0.5, 1):
        with pytest.raises(InvalidImage):
            picture.view(scale)


def test_places_in_a_view_are_those_of_the_photo() -> None:
    """The middle of a bright square, found in the photo and in its views."""
    image = np.zeros((96, 128, 3), np.uint8)
    image[40:56, 72:88] = 255
    for divisor in DIVISORS:
        view = View(shrunk(image, divisor), 1 / divisor)
        bright = np.argwhere(view.pixels[:, :, 0])[:, ::-1]
        middle = np.array([[79.5, 47.5]], np.float32)
        np.testing.assert_allclose(view.points(middle)[0], bright.mean(axis=0), atol=1e-5)
        box = view.box(Box(72, 40, 16, 16))
        assert (box.x, box.y) == tuple(bright.min(axis=0))
        assert box.width == 16 / divisor


def test_an_engine_that_wants_every_pixel() -> None:
    content = fake_photo([1, 2], size=(3200, 2400))
    picture = Picture.open(content, LIMITS, max_bytes=MAX_BYTES)
    analysis = FakeEngine().analyze(picture, AnalyzeOptions())
    assert (analysis.width, analysis.height) == (3200, 2400)
    assert picture.view(0.1).scale == 1
