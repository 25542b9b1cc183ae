"""Images brought to the size that a detector takes."""

from dataclasses import dataclass

import cv2
import numpy as np

from common.vision.types import BgrImage


@dataclass(frozen=True, slots=True)
class Fitted:
    """An image of another size. pixels: (h, w, 3) BGR. scale: its pixels per pixel before."""

    pixels: BgrImage
    scale: float


def fit(image: BgrImage, side: int, *, smooth: bool = False) -> Fitted:
    """Bring an image's longer side to `side` pixels.

    smooth: average the pixels that fall together; else interpolate between neighbours, as
    insightface does.
    """
    rows, columns = image.shape[:2]
    if rows > columns:
        height, width = side, max(int(side / (rows / columns)), 1)
    else:
        height, width = max(int(side * (rows / columns)), 1), side
    shrinks = smooth and height < rows
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    fitted = np.asarray(cv2.resize(image, (width, height), interpolation=interpolation), np.uint8)
    return Fitted(fitted, height / rows)


def fits(image: BgrImage, side: int) -> bool:
    """Whether an image has pixels, and no side of more than `side`."""
    return (
        image.dtype == np.uint8
        and image.ndim == 3
        and image.shape[2] == 3
        and min(image.shape[:2]) > 0
        and max(image.shape[:2]) <= side
    )


def pad(image: BgrImage, height: int, width: int) -> BgrImage:
    """Lay an image into the upper left of a black canvas, where it is not that large itself."""
    if image.shape[:2] == (height, width):
        return image
    canvas = np.zeros((height, width, 3), dtype=np.uint8)
    canvas[: image.shape[0], : image.shape[1]] = image
    return canvas
