"""The demo's guests, and the pictures that show them, which all ship inside packages."""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from insightface.data import get_image
from numpy.typing import NDArray
from skimage import data

BgrImage = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Rect:
    """An upright rectangle in pixels of a source picture."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def centre(self) -> tuple[float, float]:
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    def grown(self, factor: float) -> "Rect":
        """The rectangle of the same centre with `factor` times the sides."""
        (x, y), w, h = self.centre, self.right - self.left, self.bottom - self.top
        half_w, half_h = w * factor / 2, h * factor / 2
        return Rect(x - half_w, y - half_h, x + half_w, y + half_h)

    def corners(self) -> NDArray[np.float32]:
        """(4, 2) corners, clockwise from the top left."""
        xs = (self.left, self.right, self.right, self.left)
        ys = (self.top, self.top, self.bottom, self.bottom)
        return np.stack([xs, ys], axis=1).astype(np.float32)


def around(rects: list[Rect]) -> Rect:
    """The smallest rectangle that holds all of them."""
    return Rect(
        min(r.left for r in rects),
        min(r.top for r in rects),
        max(r.right for r in rects),
        max(r.bottom for r in rects),
    )


@dataclass(frozen=True, slots=True)
class Figure:
    """Where one guest is in a source picture: `face` from brow to chin, `head` with the hair."""

    guest: str
    face: Rect
    head: Rect


@dataclass(frozen=True, slots=True)
class Source:
    """One picture, and everyone in it. image: (H, W, 3) BGR."""

    image: BgrImage
    figures: tuple[Figure, ...]

    def figure(self, guest: str) -> Figure:
        return next(figure for figure in self.figures if figure.guest == guest)


# Invented names, in the order in which the six sit at the table.
AT_TABLE = ("Ada", "Bea", "Carl", "Dan", "Eric", "Fay")
ASTRONAUT = "Astronaut"
TOM = "Tom"
GUESTS = (*AT_TABLE, ASTRONAUT, TOM)

_TABLE_FIGURES = (
    Figure("Ada", Rect(62, 268, 168, 396), Rect(30, 240, 190, 405)),
    Figure("Bea", Rect(272, 150, 370, 264), Rect(262, 104, 415, 270)),
    Figure("Carl", Rect(468, 268, 574, 416), Rect(465, 222, 608, 425)),
    Figure("Dan", Rect(748, 340, 848, 480), Rect(742, 290, 875, 485)),
    Figure("Eric", Rect(905, 56, 1012, 204), Rect(880, 4, 1057, 210)),
    Figure("Fay", Rect(1132, 272, 1226, 398), Rect(1125, 236, 1262, 432)),
)


@cache
def table() -> Source:
    """Six people at a table: insightface's `t1`, 1280 x 886."""
    return Source(get_image("t1"), _TABLE_FIGURES)


@cache
def astronaut() -> Source:
    """A portrait: scikit-image's `astronaut`, 512 x 512."""
    figure = Figure(ASTRONAUT, Rect(181, 58, 271, 178), Rect(152, 18, 302, 190))
    return Source(cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2BGR), (figure,))


@cache
def tom() -> Source:
    """A tight black-and-white portrait: insightface's `Tom_Hanks_54745`, 112 x 112."""
    image = get_image("Tom_Hanks_54745")
    height, width = image.shape[:2]
    face = Rect(8, 4, 88, 108)
    return Source(image, (Figure(TOM, face, Rect(0, 0, width, height)),))


def source_of(guest: str) -> Source:
    """The picture that shows the guest."""
    return {ASTRONAUT: astronaut, TOM: tom}.get(guest, table)()
