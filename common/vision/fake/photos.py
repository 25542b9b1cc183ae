"""Pictures that the fake engine reads: flat colour squares on grey, one square per face.

The square's colour is the person, the grey behind it is the shot. Both survive JPEG compression,
scaling and rotation by quarter turns.
"""

import io
import math
from collections.abc import Collection, Sequence
from enum import Enum
from itertools import product

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LEVEL_STEP = 23
"""Distance between the colour levels of one channel; half of it is what compression may change."""
LEVELS = 12
MIN_SATURATION = 4 * LEVEL_STEP
"""Least difference between a person's strongest and weakest channel; the background has none."""
SHOTS = 16
"""Ways to photograph a person: shots from POOR_SHOT on are less alike."""
POOR_SHOT = 12
SMALL_SIDE = 12
"""Side in pixels of a face drawn too small to be indexed."""


class Command(Enum):
    """What a photo makes the fake engine do; drawn as a bar of the colour (R, G, B) given here."""

    CRASH = (253, 0, 0)
    HANG = (0, 0, 253)
    FAIL = (253, 253, 0)
    SLOW = (0, 253, 0)


def _palette() -> NDArray[np.uint8]:
    """(N, 3) RGB: row n is the colour of person n."""
    levels = [level * LEVEL_STEP for level in range(LEVELS)]
    colours = [c for c in product(levels, repeat=3) if max(c) - min(c) >= MIN_SATURATION]
    return np.array(colours, dtype=np.uint8)


PALETTE = _palette()


def shot_grey(shot: int) -> int:
    """The background's grey value of a shot in [0, SHOTS)."""
    return 40 + 11 * shot


def fake_photo(
    people: Sequence[int] = (),
    *,
    shot: int = 0,
    small: Collection[int] = (),
    command: Command | None = None,
    size: tuple[int, int] = (640, 480),
    file_format: str = "JPEG",
    quality: int = 90,
) -> bytes:
    """Draw the people, the first one largest, and encode the picture.

    people: numbers in [0, 961). shot: in [0, SHOTS); the same person in two shots below POOR_SHOT
    has a similarity of about 0.9, in one below and one from POOR_SHOT on about 0.6. small: those of
    the people drawn too small to be indexed. size: (width, height) in pixels. file_format: JPEG,
    PNG or WEBP.
    """
    width, height = size
    canvas = np.full((height, width, 3), shot_grey(shot), dtype=np.uint8)
    columns = max(1, math.ceil(math.sqrt(len(people) * width / height)))
    rows = max(1, math.ceil(len(people) / columns))
    cell = min(width // columns, height * 9 // 10 // rows)
    for place, person in enumerate(people):
        row, column = divmod(place, columns)
        side = int(cell * (0.8 - 0.35 * place / len(people)))
        if person in small:
            side = SMALL_SIDE
        left, top = column * cell + cell // 10, row * cell + cell // 10
        canvas[top : top + side, left : left + side] = PALETTE[person]
    if command is not None:
        canvas[-height // 20 :, width // 4 : width // 4 + height // 4] = command.value
    encoded = io.BytesIO()
    Image.fromarray(canvas).save(encoded, file_format, quality=quality)
    return encoded.getvalue()
