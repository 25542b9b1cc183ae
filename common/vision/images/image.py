"""Image bytes to upright BGR pixels: everything is checked before a decoder sees it."""

from functools import partial

import cv2
import numpy as np
import simplejpeg

from common.config import ImageLimits
from common.errors import ImageCorrupt, ImageTooLarge, ImageTruncated, ImageUnsupported
from common.vision.images.header import (
    ImageFormat,
    ImageHeader,
    StoredFrame,
    check_size,
    upright_header,
)
from common.vision.images.jpeg import jpeg_pixels_only, read_jpeg
from common.vision.images.png import png_pixels_only, read_png
from common.vision.images.sniff import sniff
from common.vision.images.webp import read_webp, webp_pixels_only
from common.vision.types import BgrImage

__all__ = ["ImageFormat", "ImageHeader", "decode", "divisors", "read_header"]

# What libjpeg-turbo shrinks by in little time; by other fractions it takes longer than in full.
_JPEG_DIVISORS = (1, 2, 4, 8)

# TurboJPEG's words for the warnings that matter here; it tells the first of an image.
_JUNK_BEFORE_END = "extraneous bytes before marker 0xd9"
_CUT_SHORT = ("premature end", "Premature end")
_UNKNOWN_SAMPLING = "subsampling"
_NO_MEMORY = ("Insufficient memory", "allocation failure")
# Bytes that decoding takes for a pixel at most: BGR and, of some images, another with alpha.
_OPENCV_BYTES = 8
# EXIF orientation -> flip code of OpenCV, after the sides were swapped for 5-8.
_FLIPS = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}


def read_header(content: bytes, limits: ImageLimits, *, max_bytes: int) -> ImageHeader:
    """Decide from the bytes alone, without a decoder, whether an image may be decoded.

    JPEG, PNG and WebP are let through when whole, still and within the limits. Raises ImageEmpty,
    ImageUnsupported, ImageTruncated, ImageCorrupt, ImageTooLarge or ImageTooSmall.
    """
    if len(content) > max_bytes:
        raise ImageTooLarge(f"The image has {len(content)} bytes; at most {max_bytes} are read.")
    image_format = sniff(content)
    header = upright_header(image_format, _read_frame(image_format, content, limits))
    check_size(header, limits)
    return header


def divisors(header: ImageHeader) -> tuple[int, ...]:
    """What an image's sides may be divided by in decoding, ascending from 1.

    Only what leaves no remainder: then every pixel stands for as many of the image's.
    """
    if header.format is not ImageFormat.JPEG:
        return (1,)
    return tuple(d for d in _JPEG_DIVISORS if header.width % d == header.height % d == 0)


def decode(content: bytes, header: ImageHeader, divisor: int = 1) -> BgrImage:
    """Decode an image that `read_header` let through.

    divisor: one of `divisors`. Returns (H, W, 3) uint8 BGR, C-contiguous and upright; H and W are
    the header's over the divisor. Grey, palette, CMYK and 16-bit images become 8-bit BGR as in
    `cv2.imdecode`; alpha is dropped. An image is decoded wholly or not at all. Raises
    ImageTruncated, ImageCorrupt or ImageUnsupported.
    """
    height, width = (side // divisor for side in header.stored_shape)
    if header.format is ImageFormat.JPEG:
        image = _decode_jpeg(jpeg_pixels_only(content, header.segments), height, width, divisor)
    elif header.format is ImageFormat.PNG:
        image = _decode_with_opencv(png_pixels_only(content), header.format, height, width)
    else:
        image = _decode_with_opencv(webp_pixels_only(content), header.format, height, width)
    if image.shape != (height, width, 3):
        raise ImageCorrupt(f"The {header.format} is not of the size that it says.")
    return _turn_upright(image, header.orientation)


def _read_frame(image_format: ImageFormat, content: bytes, limits: ImageLimits) -> StoredFrame:
    if image_format is ImageFormat.JPEG:
        return read_jpeg(content, limits)
    if image_format is ImageFormat.PNG:
        return read_png(content)
    return read_webp(content)


def _decode_jpeg(content: bytes, height: int, width: int, divisor: int) -> BgrImage:
    """Decode with warnings as errors: where data is missing libjpeg only warns, and paints grey.

    Whatever the divisor, all data is read, and warned of alike.
    """
    scaled = partial(
        simplejpeg.decode_jpeg,
        content,
        "BGR",
        min_height=height,
        min_width=width,
        min_factor=divisor,
    )
    try:
        image: BgrImage = scaled()
    except ValueError as error:
        warning = str(error)
        if any(words in warning for words in _NO_MEMORY):  # says nothing about the image
            raise MemoryError from error
        if not warning.endswith(_JUNK_BEFORE_END):
            raise _jpeg_error(warning) from error
        # This being the first warning, and at the end, the whole picture came before it undamaged.
        image = scaled(strict=False)
    return image


def _jpeg_error(warning: str) -> ImageTruncated | ImageCorrupt | ImageUnsupported:
    if _UNKNOWN_SAMPLING in warning:
        return ImageUnsupported("This JPEG has an unusual colour sampling: save it as 4:2:0.")
    if any(words in warning for words in _CUT_SHORT):
        return ImageTruncated("The JPEG's picture is incomplete.")
    return ImageCorrupt("The JPEG is damaged.")


def _decode_with_opencv(
    content: bytes, image_format: ImageFormat, height: int, width: int
) -> BgrImage:
    """Decode bytes that hold no metadata, so that OpenCV turns nothing by itself."""
    # Its PNG and WebP decoders tell no lack of memory from damage; so there must be enough before.
    np.empty(width * height * _OPENCV_BYTES, np.uint8)
    data = np.frombuffer(content, np.uint8)
    try:
        image: BgrImage | None = cv2.imdecode(data, cv2.IMREAD_COLOR)
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:  # says nothing about the image
            raise MemoryError from error
        image = None
    if image is None:
        raise ImageCorrupt(f"The {image_format} is damaged.")
    return image


def _turn_upright(image: BgrImage, orientation: int) -> BgrImage:
    """Undo an EXIF orientation: 2 and 4 mirror, 3 turns by 180 degrees, 5-8 swap the sides."""
    if orientation in (5, 6, 7, 8):
        image = cv2.transpose(image)
    flip = _FLIPS.get(orientation)
    return image if flip is None else cv2.flip(image, flip, image)
