"""Photos as 12-megapixel cameras write them: 4000 x 3000, some grain, 4:2:0, a few megabytes."""

from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from demo.event import develop_photo, plan

WIDTH, HEIGHT = 4000, 3000
_GRAIN = 3.0
"""Standard deviation of the sensor's noise, in grey levels."""
_QUALITY = 92
Grid = tuple[int, int]
"""Columns and rows of the pictures that one photo is put together of."""
_GRIDS = ((1, 1), (2, 1), (3, 2), (2, 1))


def camera_photos(folder: Path, count: int) -> list[Path]:
    """Make photos of the demo's guests, close by and in groups; the same in every run."""
    takes = cycle([take for take in plan() if take.guests])
    return composed(folder, (develop_photo(take).image for take in takes), cycles(_GRIDS, count))


def cycles(grids: Sequence[Grid], count: int) -> list[Grid]:
    """The grids by turns."""
    return list(islice(cycle(grids), count))


def composed(
    folder: Path, pictures: Iterator[NDArray[np.uint8]], grids: Sequence[Grid]
) -> list[Path]:
    """Make a photo a grid, whose cells the pictures fill row by row, as they come."""
    rng = np.random.default_rng(12)
    grain = _GRAIN * rng.standard_normal((HEIGHT, WIDTH, 3), dtype=np.float32)
    paths = []
    for number, (columns, rows) in enumerate(grids):
        canvas = np.empty((HEIGHT, WIDTH, 3), dtype=np.uint8)
        for cell in range(columns * rows):
            row, column = divmod(cell, columns)
            left, right = column * WIDTH // columns, (column + 1) * WIDTH // columns
            top, bottom = row * HEIGHT // rows, (row + 1) * HEIGHT // rows
            canvas[top:bottom, left:right] = _filling(next(pictures), right - left, bottom - top)
        path = folder / f"DSC_{number:04d}.jpg"
        path.write_bytes(_jpeg(_grainy(canvas, grain, rng)))
        paths.append(path)
    return paths


def _filling(picture: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """The middle of a picture, scaled to fill the place."""
    factor = max(width / picture.shape[1], height / picture.shape[0])
    size = (
        max(width, round(picture.shape[1] * factor)),
        max(height, round(picture.shape[0] * factor)),
    )
    scaled = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC), np.uint8)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    return scaled[top : top + height, left : left + width]


def _grainy(
    image: NDArray[np.uint8], grain: NDArray[np.float32], rng: Generator
) -> NDArray[np.uint8]:
    shifted = np.roll(grain, int(rng.integers(HEIGHT)), axis=0)
    return np.asarray(np.clip(image + shifted, 0, 255), dtype=np.uint8)


def _jpeg(image: NDArray[np.uint8]) -> bytes:
    _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return bytes(encoded.tobytes())
