"""Which format the bytes are, by their first bytes alone: no file name is ever believed."""

from common.errors import ImageEmpty, ImageUnsupported
from common.vision.images.header import ImageFormat

_JPEG_HINT = "send it as a JPEG"
_RAW_HINT = "send the JPEG that the camera or the RAW converter makes of it"
_PAGE_HINT = "send the photo itself as a JPEG"
_STILL_HINT = "send a still photo as a JPEG"

# First bytes, what it is, what to send instead. The longer of two that begin alike stands first.
_FOREIGN: tuple[tuple[bytes, str, str], ...] = (
    (b"GIF87a", "a GIF", _JPEG_HINT),
    (b"GIF89a", "a GIF", _JPEG_HINT),
    (b"II*\0\x10\0\0\0CR", "a Canon RAW file (CR2)", _RAW_HINT),
    (b"IIRO", "an Olympus RAW file (ORF)", _RAW_HINT),
    (b"IIRS", "an Olympus RAW file (ORF)", _RAW_HINT),
    (b"IIU\0", "a Panasonic RAW file (RW2)", _RAW_HINT),
    (b"FUJIFILMCCD-RAW", "a Fujifilm RAW file (RAF)", _RAW_HINT),
    (b"FOVb", "a Sigma RAW file (X3F)", _RAW_HINT),
    (b"II\xbc", "a JPEG XR", _JPEG_HINT),
    (b"II*\0", "a TIFF or a camera's RAW file (DNG, NEF, ARW)", _RAW_HINT),
    (b"MM\0*", "a TIFF or a camera's RAW file (DNG, NEF, ARW)", _RAW_HINT),
    (b"II+\0", "a BigTIFF", _JPEG_HINT),
    (b"MM\0+", "a BigTIFF", _JPEG_HINT),
    (b"%PDF-", "a PDF document", _PAGE_HINT),
    (b"%!PS", "a PostScript document", _PAGE_HINT),
    (b"<svg", "an SVG drawing", _PAGE_HINT),
    (b"<?xml", "an XML or SVG document", _PAGE_HINT),
    (b"<!doctype html", "a web page", _PAGE_HINT),
    (b"<html", "a web page", _PAGE_HINT),
    (b"v/1\x01", "an OpenEXR image", _JPEG_HINT),
    (b"#?RADIANCE", "a Radiance HDR image", _JPEG_HINT),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL", _JPEG_HINT),
    (b"\xff\x0a", "a JPEG XL", _JPEG_HINT),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000", _JPEG_HINT),
    (b"\xff\x4f\xff\x51", "a JPEG 2000", _JPEG_HINT),
    (b"\x8aMNG\r\n\x1a\n", "an MNG animation", _STILL_HINT),
    (b"8BPS", "a Photoshop document", _JPEG_HINT),
    (b"qoif", "a QOI image", _JPEG_HINT),
    (b"\0\0\x01\0", "an icon (ICO)", _JPEG_HINT),
    (b"BM", "a BMP", _JPEG_HINT),
    (b"PK\x03\x04", "a ZIP archive", "send its photos one by one"),
    (b"\x1f\x8b", "a gzip archive", "send its photos one by one"),
    (b"\x1aE\xdf\xa3", "a video (Matroska, WebM)", _STILL_HINT),
    *((b"P%d" % kind, "a Netpbm image", _JPEG_HINT) for kind in range(1, 8)),
)

# Brand of an ISO base media file (bytes 8-12), what it is, what to send instead.
_BRANDS: dict[bytes, tuple[str, str]] = {
    **dict.fromkeys(
        (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"),
        ("a HEIC photo", _JPEG_HINT),
    ),
    **dict.fromkeys((b"avif", b"avis"), ("an AVIF", _JPEG_HINT)),
    b"crx ": ("a Canon RAW file (CR3)", _RAW_HINT),
}
_VIDEO = ("a video (MP4, MOV)", _STILL_HINT)


def sniff(content: bytes) -> ImageFormat:
    """The format of the bytes. Raises ImageEmpty or ImageUnsupported, which says what they are."""
    if not content:
        raise ImageEmpty("The image has no bytes.")
    if content.startswith(b"\xff\xd8\xff") or content in (b"\xff\xd8", b"\xff\xd8\xff"):
        return ImageFormat.JPEG
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return ImageFormat.PNG
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return ImageFormat.WEBP
    what, instead = _look_like(content)
    raise ImageUnsupported(f"FacePass reads JPEG, PNG and WebP. This looks like {what}: {instead}.")


def _look_like(content: bytes) -> tuple[str, str]:
    if content[4:8] == b"ftyp":
        return _BRANDS.get(content[8:12], _VIDEO)
    if content.startswith(b"RIFF"):
        return "a RIFF file (AVI, WAV)", _STILL_HINT
    text = content[:64].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for magic, what, instead in _FOREIGN:
        if content.startswith(magic) or (magic[:1] == b"<" and text.startswith(magic)):
            return what, instead
    return "no image that it knows", _JPEG_HINT
