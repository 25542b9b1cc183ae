"""Overlapping tiles, so that a detector of small canvas sees the small faces of a large photo."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from common.vision.detections import Detections
from common.vision.types import BgrImage

SCALE = 0.5
"""Tile pixels per image pixel: a face of 40 pixels has 20 in a tile, which SCRFD sees well."""
OVERLAP = 128
"""Pixels that neighbouring tiles share. Faces of half of it are well inside one of them; larger
ones are seen on the whole photo."""
MAX_PIXELS = 25_000_000
"""Most pixels of the scaled photo (about 100 tiles). Larger photos are scaled down further."""
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
