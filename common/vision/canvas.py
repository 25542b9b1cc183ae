"""Canvases: images in the one size that a detector takes."""

from dataclasses import dataclass

import cv2
import numpy as np

from common.vision.types import BgrImage


@dataclass(frozen=True, slots=True)
class Canvas:
    """An image fitted into the upper left of a black square.

    pixels: (S, S, 3) BGR, of which `height` x `width` are image. scale: canvas pixels per image
    pixel.
    """

    pixels: BgrImage
    scale: float
    height: int
    width: int

    @property
    def filled(self) -> BgrImage:
        """The part that is image."""
        return self.pixels[: self.height, : self.width]


def letterbox(image: BgrImage, side: int, *, within: int = 0, smooth: bool = False) -> Canvas:
    """Fit an image into a black square of `side` pixels.

    within: fit it into the square's upper left part of that side instead. smooth: average the
    pixels that fall together; else interpolate between neighbours, as insightface does.
    """
    fit = within or side
    rows, columns = image.shape[:2]
    if rows > columns:
        height, width = fit, max(int(fit / (rows / columns)), 1)
    else:
        height, width = max(int(fit * (rows / columns)), 1), fit
    shrinks = smooth and height < rows
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    fitted = np.asarray(cv2.resize(image, (width, height), interpolation=interpolation), np.uint8)
    return Canvas(pad(fitted, side), height / rows, height, width)


def pad(image: BgrImage, side: int) -> BgrImage:
    """Lay an image of at most `side` x `side` pixels into the upper left of a black square."""
    pixels = np.zeros((side, side, 3), dtype=np.uint8)
    pixels[: image.shape[0], : image.shape[1]] = image
    return pixels
