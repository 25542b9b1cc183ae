"""A photo whose pixels are decoded when they are asked for, and no finer than asked for."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.config import ImageLimits
from common.vision.images.image import decode, divisors, read_header
from common.vision.types import BgrImage, Box


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """The pixels of a whole photo, as they are or shrunk.

    pixels: (h, w, 3) BGR, upright. scale: its pixels per pixel of the photo, 1 or less.
    """

    pixels: BgrImage
    scale: float = 1.0

    def points(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, 2) pixels of the view for pixels of the photo, whole numbers being their middles."""
        # The middle of a shrunk pixel is that of the pixels it was made of.
        shift = (self.scale - 1.0) / 2
        return np.asarray(points * self.scale + shift, dtype=np.float32)

    def box(self, box: Box) -> Box:
        """A box of the photo in pixels of the view; its edges are edges of pixels."""
        edges = (box.x, box.y, box.width, box.height)
        return Box(*(edge * self.scale for edge in edges))


class Picture:
    """One upright photo. Keeps its last view only, for one thread at a time.

    width, height: of the photo, in pixels. decode_s: what decoding took so far, in seconds.
    """

    def __init__(
        self,
        width: int,
        height: int,
        decode: Callable[[int], BgrImage],
        divisors: tuple[int, ...] = (1,),
    ) -> None:
        """decode: gives the upright pixels with both sides divided by one of `divisors`, which
        ascend from 1."""
        self.width = width
        self.height = height
        self.decode_s = 0.0
        self._decode = decode
        self._divisors = divisors
        self._view: View | None = None

    @classmethod
    def open(cls, content: bytes, limits: ImageLimits, *, max_bytes: int) -> "Picture":
        """Check an image as `read_header` does, and raise as it does; nothing is decoded yet."""
        started = time.perf_counter()
        header = read_header(content, limits, max_bytes=max_bytes)
        picture = cls(
            header.width,
            header.height,
            lambda divisor: decode(content, header, divisor),
            divisors(header),
        )
        picture.decode_s = time.perf_counter() - started
        return picture

    @classmethod
    def of(cls, image: BgrImage) -> "Picture":
        """A photo that is decoded already."""
        height, width = image.shape[:2]
        return cls(width, height, lambda _: image)

    def view(self, scale: float = 1.0) -> View:
        """The photo at `scale` or the least above it that there is; at 1 where there is none.

        What is there already is used if it is fine enough, and given up otherwise. Raises as
        `decode`.
        """
        if self._view is None or self._view.scale < min(scale, 1.0):
            self._view = None  # or both would be in memory at once
            divisor = max((d for d in self._divisors if scale * d <= 1.0), default=1)
            started = time.perf_counter()
            pixels = self._decode(divisor)
            self.decode_s += time.perf_counter() - started
            self._view = View(pixels, 1 / divisor)
        return self._view
