"""Overlapping tiles, so that a detector of small canvas sees the small faces of a large photo."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from common.vision.faces.detections import Detections
from common.vision.types import BgrImage

SCALE = 0.8
"""Tile pixels per image pixel. Of faces 40 pixels high in a 12-megapixel photo, SCRFD 2.5G finds
four fifths at 0.5 and all from 0.7 on; SCRFD 500M a third at 0.5, four fifths at 0.8."""
OVERLAP = 128
"""Pixels that neighbouring tiles share, so that any face smaller than this is whole in one of
them; larger ones are seen on the whole photo."""
MAX_PIXELS = 16_000_000
"""Most pixels of the scaled photo (about 60 tiles, a 25-megapixel photo). Larger photos are scaled
down further."""
_MIN_GAIN = 1.5
"""How many times larger than on the whole photo's canvas faces must be in tiles to look again."""
_CUT_MARGIN = 4.0
"""A box this near, in pixels, to an edge inside the photo belongs to a face that the edge cuts."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One part of a scaled photo.

    pixels: (h, w, 3) BGR. left, top: where it is in the scaled photo. inner: whether the photo
    goes on beyond its left, top, right, bottom edge. scale: its pixels per image pixel.
    """

    pixels: BgrImage
    left: int
    top: int
    inner: tuple[bool, bool, bool, bool]
    scale: float

    def to_image(self, found: Detections) -> Detections:
        """Move faces from the tile to the image, less those that an inner edge cuts."""
        whole = found.take(~self._cut(found.boxes))
        return whole.moved(scale=self.scale, x=self.left / self.scale, y=self.top / self.scale)

    def _cut(self, boxes: NDArray[np.float32]) -> NDArray[np.bool_]:
        height, width = self.pixels.shape[:2]
        room = np.column_stack([boxes[:, :2], (width, height) - boxes[:, 2:]])
        return np.asarray(((room < _CUT_MARGIN) & np.array(self.inner)).any(axis=1))


def tiles(image: BgrImage, side: int) -> Iterator[Tile]:
    """Cut a photo, scaled for small faces, into tiles of at most `side` pixels.

    None where tiles would show the faces hardly larger than one canvas of `side` pixels does.
    """
    height, width = image.shape[:2]
    scale = min(SCALE, math.sqrt(MAX_PIXELS / (height * width)))
    if scale < _MIN_GAIN * side / max(height, width):
        return
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    scaled = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    for top in starts(size[1], side):
        for left in starts(size[0], side):
            right, bottom = min(left + side, size[0]), min(top + side, size[1])
            inner = (left > 0, top > 0, right < size[0], bottom < size[1])
            yield Tile(scaled[top:bottom, left:right], left, top, inner, scale)


def starts(length: int, side: int) -> list[int]:
    """Where tiles of `side` begin that cover `length`, evenly, OVERLAP or more shared."""
    count = max(math.ceil((length - OVERLAP) / (side - OVERLAP)), 1)
    return [round(i * (length - side) / (count - 1)) for i in range(count)] if count > 1 else [0]
