"""What is known of an image before any decoder has seen it."""

from dataclasses import dataclass, field
from enum import StrEnum

from common.config import ImageLimits
from common.errors import ImageCorrupt, ImageTooLarge, ImageTooSmall

_SIDEWAYS = frozenset({5, 6, 7, 8})


class ImageFormat(StrEnum):
    """The formats that FacePass reads."""

    JPEG = "JPEG"
    PNG = "PNG"
    WEBP = "WebP"


@dataclass(frozen=True, slots=True)
class JpegSegment:
    """content[start:end] is the segment with its marker, without fill bytes; SOS has its scan."""

    marker: int
    start: int
    body: int
    """Where the parameters begin, after the length."""
    data: int
    """Where they end; in SOS its scan begins there."""
    end: int


@dataclass(frozen=True, slots=True)
class StoredFrame:
    """An image as stored: sides in pixels before its EXIF orientation (1-8) is applied."""

    width: int
    height: int
    orientation: int = 1
    segments: tuple[JpegSegment, ...] = ()
    """Of a JPEG, so that they are looked for once."""


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """The format of an image, its sides in pixels when upright, and its EXIF orientation (1-8)."""

    format: ImageFormat
    width: int
    height: int
    orientation: int
    segments: tuple[JpegSegment, ...] = field(default=(), repr=False, compare=False)
    """As StoredFrame.segments."""

    @property
    def stored_shape(self) -> tuple[int, int]:
        """(height, width) before the orientation is applied."""
        if self.orientation in _SIDEWAYS:
            return self.width, self.height
        return self.height, self.width


def upright_header(image_format: ImageFormat, frame: StoredFrame) -> ImageHeader:
    """The header of a stored frame; a turn by 90 degrees swaps its sides."""
    width, height = frame.width, frame.height
    if frame.orientation in _SIDEWAYS:
        width, height = height, width
    return ImageHeader(image_format, width, height, frame.orientation, frame.segments)


def check_size(header: ImageHeader, limits: ImageLimits) -> None:
    """Raises ImageCorrupt (no pixels), ImageTooLarge or ImageTooSmall."""
    width, height = header.width, header.height
    size = f"{width}x{height} pixels"
    if width <= 0 or height <= 0:
        raise ImageCorrupt(f"The {header.format} says that it is {size}.")
    if max(width, height) > limits.max_side:
        raise ImageTooLarge(f"The image is {size}; the longest side may be {limits.max_side}.")
    if width * height > limits.max_pixels:
        raise ImageTooLarge(f"The image is {size}; at most {limits.max_pixels} are read.")
    if min(width, height) < limits.min_side:
        raise ImageTooSmall(
            f"The image is {size}; no side may be shorter than {limits.min_side} to hold a face."
        )
