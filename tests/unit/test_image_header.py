"""What is refused before any decoder sees it, and what is said about it."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from common.config import ImageLimits
from common.errors import (
    ImageCorrupt,
    ImageEmpty,
    ImageTooLarge,
    ImageTooSmall,
    ImageTruncated,
    ImageUnsupported,
    InvalidImage,
)
from common.vision.images.image import ImageFormat, ImageHeader, read_header

MAX_BYTES = 1 << 20


def header(content: bytes, limits: ImageLimits | None = None) -> ImageHeader:
    return read_header(content, limits or ImageLimits(), max_bytes=MAX_BYTES)


def picture(width: int = 48, height: int = 32) -> Image.Image:
    noise = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(noise)


def encode(image: Image.Image, image_format: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, image_format, **options)
    return out.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(*chunks: bytes) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def ihdr(width: int, height: int) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def sof(width: int, height: int, marker: int = 0xC0, bits: int = 8, components: int = 3) -> bytes:
    sampling = b"".join(bytes((n, 0x11, 0)) for n in range(1, components + 1))
    return segment(marker, struct.pack(">BHHB", bits, height, width, components) + sampling)


SCAN = segment(0xDA, b"\x03\x01\x00\x02\x11\x03\x11\x00\x3f\x00") + b"\x12\xff\x00\x34"


def jpeg(*segments: bytes) -> bytes:
    return b"\xff\xd8" + b"".join(segments) + b"\xff\xd9"


def webp(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"WEBP" + b"".join(
        kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
        for kind, data in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


VP8 = b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", 40, 30)
VP8L = b"\x2f" + ((39) | (29 << 14)).to_bytes(4, "little")


@pytest.mark.parametrize(
    ("image_format", "expected"),
    [("JPEG", ImageFormat.JPEG), ("PNG", ImageFormat.PNG), ("WEBP", ImageFormat.WEBP)],
)
def test_a_whole_image_is_let_through_with_its_size(
    image_format: str, expected: ImageFormat
) -> None:
    found = header(encode(picture(48, 32), image_format))
    assert found == ImageHeader(expected, width=48, height=32, orientation=1)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"II*\0\x10\0\0\0CR\x02\0", "Canon RAW"),
        (b"II*\0\x08\0\0\0", "RAW"),
        (b"MM\0*\0\0\0\x08", "RAW"),
        (b"IIRO\x08\0\0\0", "Olympus RAW"),
        (b"IIU\0\x08\0\0\0", "Panasonic RAW"),
        (b"FUJIFILMCCD-RAW 0201", "Fujifilm RAW"),
        (b"\0\0\0\x18ftypcrx \0\0\0\x01", "CR3"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0", "HEIC"),
        (b"\0\0\0\x1cftypavif\0\0\0\0", "AVIF"),
        (b"\0\0\0\x18ftypisom\0\0\x02\0", "video"),
        (b"GIF89a\x01\0\x01\0", "GIF"),
        (b"BM\x46\0\0\0", "BMP"),
        (b"%PDF-1.7\n", "PDF"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "PostScript"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"\xef\xbb\xbf  <?xml version='1.0'?><svg/>", "SVG"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"v/1\x01\x02\0\0\0", "OpenEXR"),
        (b"#?RADIANCE\n", "Radiance"),
        (b"\xff\x0a\xfa\x0f", "JPEG XL"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"8BPS\0\x01", "Photoshop"),
        (b"P6\n1 1\n255\n", "Netpbm"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "RIFF"),
        (b"PK\x03\x04", "ZIP"),
        (b"Not Found", "no image that it knows"),
        (b"\0", "no image that it knows"),
        (b"\xff", "no image that it knows"),
    ],
)
def test_what_is_no_jpeg_png_or_webp_is_refused_by_its_first_bytes(
    content: bytes, what: str
) -> None:
    with pytest.raises(ImageUnsupported) as caught:
        header(content)
    assert what in caught.value.message
    assert "send" in caught.value.message


@pytest.mark.parametrize("image_format", ["GIF", "BMP", "TIFF", "JPEG2000", "ICO", "PPM", "PDF"])
def test_real_files_of_other_formats_are_refused(image_format: str) -> None:
    with pytest.raises(ImageUnsupported):
        header(encode(picture(), image_format))


def test_no_bytes() -> None:
    with pytest.raises(ImageEmpty):
        header(b"")


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
def test_the_first_bytes_alone_are_no_image(image_format: str) -> None:
    content = encode(picture(), image_format)
    for length in range(1, 40):
        with pytest.raises(InvalidImage):
            header(content[:length])


def test_a_tiny_jpeg_that_claims_to_be_huge() -> None:
    content = jpeg(sof(65535, 65535), segment(0xFE, b"x" * 200), SCAN)
    assert len(content) < 300
    with pytest.raises(ImageTooLarge, match="65535x65535"):
        header(content)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(jpeg(sof(10_001, 10_000), SCAN), id="JPEG"),
        pytest.param(
            png(ihdr(10_001, 10_000), chunk(b"IDAT", b"x"), chunk(b"IEND", b"")), id="PNG"
        ),
        pytest.param(
            webp((b"VP8 ", b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", 10_001, 10_000))), id="WebP"
        ),
    ],
)
def test_over_a_hundred_megapixels(content: bytes) -> None:
    with pytest.raises(ImageTooLarge, match="10001x10000"):
        header(content)
    more = ImageLimits(max_pixels=10_001 * 10_000)
    assert header(content, more).width == 10_001


def test_a_side_over_the_limit() -> None:
    with pytest.raises(ImageTooLarge, match="longest side"):
        header(jpeg(sof(30_001, 20), SCAN))


@pytest.mark.parametrize("size", [(1, 1), (15, 400), (400, 15)])
def test_too_few_pixels_for_a_face(size: tuple[int, int]) -> None:
    with pytest.raises(ImageTooSmall):
        header(encode(picture(*size), "PNG"))


@pytest.mark.parametrize("size", [(0, 40), (40, 0)])
def test_a_side_of_zero(size: tuple[int, int]) -> None:
    with pytest.raises(ImageCorrupt):
        header(jpeg(sof(*size), SCAN))
    with pytest.raises(ImageCorrupt):
        header(png(ihdr(*size), chunk(b"IDAT", b"x"), chunk(b"IEND", b"")))


def test_more_bytes_than_allowed_are_refused_whatever_they_are() -> None:
    content = encode(picture(), "JPEG")
    with pytest.raises(ImageTooLarge, match="bytes"):
        read_header(content, ImageLimits(), max_bytes=len(content) - 1)
    assert read_header(content, ImageLimits(), max_bytes=len(content)).width == 48


def test_thousands_of_scans() -> None:
    content = encode(picture(16, 16), "JPEG", progressive=True)
    first = content.index(b"\xff\xda")
    assert content.count(b"\xff\xda") * 300 > 1000
    with pytest.raises(ImageTooLarge, match="100 scans"):
        header(content[:first] + content[first:-2] * 300 + b"\xff\xd9")


def test_the_scan_limit_is_inclusive() -> None:
    content = jpeg(sof(40, 30, marker=0xC2), SCAN * 7)
    assert header(content, ImageLimits(max_jpeg_scans=7)).width == 40
    with pytest.raises(ImageTooLarge):
        header(content, ImageLimits(max_jpeg_scans=6))


def test_the_larger_the_image_the_fewer_scans() -> None:
    """Each makes a decoder go over all pixels, even if there is nothing in it."""
    large = [jpeg(sof(10_000, 10_000, marker=0xC2), SCAN * count) for count in (20, 21)]
    assert header(large[0]).width == 10_000
    with pytest.raises(ImageTooLarge, match="scans, 21, for its size"):
        header(large[1])


@pytest.mark.parametrize(
    ("frame", "what"),
    [
        (sof(40, 30, marker=0xC9), "arithmetic"),
        (sof(40, 30, marker=0xCA), "arithmetic"),
        (sof(40, 30, marker=0xC3), "lossless"),
        (sof(40, 30, marker=0xC5), "hierarchical"),
        (sof(40, 30, bits=12), "12 bits"),
        (sof(40, 30, components=2), "2 colour components"),
    ],
)
def test_jpegs_that_are_not_ordinary_are_named(frame: bytes, what: str) -> None:
    with pytest.raises(ImageUnsupported, match=what):
        header(jpeg(frame, SCAN))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(jpeg(sof(40, 30), sof(90, 90), SCAN), id="two frame headers"),
        pytest.param(jpeg(SCAN, sof(40, 30)), id="scan before frame header"),
        pytest.param(jpeg(sof(40, 30)), id="no scan"),
        pytest.param(jpeg(sof(40, 30), segment(0xDA, b"\x03\x01")), id="short scan header"),
        pytest.param(
            jpeg(sof(40, 30), segment(0xDA, b"\x01\x09\0\0\x3f\0")), id="scan of no component"
        ),
        pytest.param(
            jpeg(sof(40, 30, marker=0xC2), segment(0xDA, b"\x01\x01\0\x09\x40\0")),
            id="scan of no coefficient",
        ),
        pytest.param(jpeg(SCAN), id="no frame header"),
        pytest.param(jpeg(sof(40, 30), b"\xff\xd8", SCAN), id="image in image"),
        pytest.param(jpeg(sof(40, 30), b"junk", SCAN), id="junk between segments"),
        pytest.param(jpeg(b"\xff\xdb\0\x01", sof(40, 30), SCAN), id="segment shorter than itself"),
        pytest.param(jpeg(segment(0xC0, b"\x08\0\x1e\0\x28\x03"), SCAN), id="short frame header"),
        pytest.param(png(ihdr(40, 30), chunk(b"IEND", b"")), id="PNG without pixels"),
        pytest.param(png(chunk(b"IDAT", b"x"), ihdr(40, 30)), id="PNG header not first"),
        pytest.param(png(ihdr(40, 30), ihdr(90, 90)), id="PNG with two headers"),
        pytest.param(png(chunk(b"IHDR", b"x"), chunk(b"IEND", b"")), id="PNG header too short"),
        pytest.param(
            png(chunk(b"IHDR", struct.pack(">IIBBBBB", 40, 30, 8, 5, 0, 0, 0))), id="no PNG colour"
        ),
        pytest.param(png(ihdr(40, 30), b"\0\0\0\0\0\0\0\0\0\0\0\0"), id="no PNG chunk"),
        pytest.param(webp((b"EXIF", b"x" * 8)), id="WebP without pixels"),
        pytest.param(webp((b"VP8 ", b"x" * 20)), id="WebP lossy damaged"),
        pytest.param(webp((b"VP8L", b"x" * 20)), id="WebP lossless damaged"),
        pytest.param(webp((b"VP8X", b"x" * 4), (b"VP8 ", VP8)), id="WebP header too short"),
        pytest.param(
            webp((b"VP8X", b"\0" * 4 + b"\x63\0\0\x63\0\0"), (b"VP8 ", VP8)), id="WebP of two sizes"
        ),
        pytest.param(
            webp((b"VP8 ", VP8)).replace(b"VP8 \x0a", b"VP8 \xff"), id="WebP chunk too long"
        ),
    ],
)
def test_damaged_structure(content: bytes) -> None:
    with pytest.raises(ImageCorrupt):
        header(content)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(jpeg(segment(0xFE, b"") * 10_001, sof(40, 30), SCAN), id="JPEG"),
        pytest.param(png(ihdr(40, 30), chunk(b"IDAT", b"") * 50_001), id="PNG"),
        pytest.param(webp((b"VP8 ", VP8), *[(b"JUNK", b"")] * 10_001), id="WebP"),
    ],
)
def test_endlessly_many_parts(content: bytes) -> None:
    with pytest.raises(ImageTooLarge, match="more than"):
        header(content)


def test_minimal_webps_are_measured() -> None:
    for content in (webp((b"VP8 ", VP8)), webp((b"VP8L", VP8L))):
        found = header(content)
        assert (found.width, found.height) == (40, 30)


@pytest.mark.parametrize("image_format", ["PNG", "WEBP"])
def test_animations_are_refused_and_named(image_format: str) -> None:
    frames = [picture(), picture().rotate(90, expand=False)]
    content = encode(frames[0], image_format, save_all=True, append_images=frames[1:])
    with pytest.raises(ImageUnsupported, match="animation"):
        header(content)


def test_an_animation_that_hides_its_flag_is_refused() -> None:
    canvas = b"\0" * 4 + b"\x27\0\0\x1d\0\0"
    with pytest.raises(ImageUnsupported, match="animation"):
        header(webp((b"VP8X", canvas), (b"ANMF", b"\0" * 24)))


def test_a_png_for_ios_apps_is_named() -> None:
    with pytest.raises(ImageUnsupported, match="iOS"):
        header(png(chunk(b"CgBI", b"\x50\0\x20\x02"), ihdr(40, 30)))


@pytest.mark.parametrize("image_format", ["JPEG", "PNG"])
def test_what_follows_the_end_is_ignored(image_format: str) -> None:
    content = encode(picture(), image_format)
    assert header(content + b"\0\0\0\x18ftypmp42" + b"x" * 100) == header(content)


def test_a_jpeg_without_its_end_marker() -> None:
    with pytest.raises(ImageTruncated):
        header(encode(picture(), "JPEG")[:-2])


def test_an_end_marker_within_a_segment_is_not_the_end() -> None:
    thumbnail = segment(0xE1, b"\xff\xd8thumbnail\xff\xd9")
    with pytest.raises(ImageTruncated):
        header(jpeg(thumbnail, sof(40, 30), SCAN)[:-2])
    assert header(jpeg(thumbnail, sof(40, 30), SCAN)).height == 30
