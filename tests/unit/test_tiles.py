"""Tiles cover a large photo, and what they show comes back where it is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.vision.faces.detections import Detections
from common.vision.images.tiles import OVERLAP, SCALE, starts, tiles

SIDE = 640


def found(*boxes: tuple[float, float, float, float]) -> Detections:
    count = len(boxes)
    return Detections(
        np.array(boxes, np.float32),
        np.full(count, 0.9, np.float32),
        np.zeros((count, 5, 2), np.float32),
    )


@given(st.integers(1, 20_000), st.integers(0, 20_000), st.integers(1, OVERLAP))
def test_whatever_is_smaller_than_the_overlap_is_whole_in_a_tile(
    length: int, start: int, size: int
) -> None:
    start %= length
    end = min(start + size, length)
    begins = starts(length, SIDE)
    assert any(begin <= start and end <= begin + SIDE for begin in begins)
    assert begins[0] == 0
    assert all(0 <= begin < max(length - SIDE, 0) + 1 for begin in begins)


@pytest.mark.parametrize("width, height", [(1000, 800), (640, 640), (1199, 20), (30, 30)])
def test_photos_that_one_canvas_shows_as_well_have_no_tiles(width: int, height: int) -> None:
    assert not list(tiles(np.zeros((height, width, 3), np.uint8), SIDE))


@pytest.mark.parametrize("width, height", [(4000, 3000), (3000, 4000), (1300, 40)])
def test_boxes_come_back_where_they_are(width: int, height: int) -> None:
    image = np.zeros((height, width, 3), np.uint8)
    x, y, side = int(width * 0.8), int(height * 0.25), 20
    image[y : y + side, x : x + side] = 255
    centres = []
    for tile in tiles(image, SIDE):
        assert tile.scale == SCALE
        assert max(tile.pixels.shape[:2]) <= SIDE
        rows, columns = np.nonzero(tile.pixels[:, :, 0] > 127)
        if len(rows):
            box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            moved = tile.to_image(found(box))
            centres += [
                ((left + right) / 2, (top + bottom) / 2) for left, top, right, bottom in moved.boxes
            ]
    assert centres
    for centre in centres:
        assert centre == pytest.approx((x + side / 2, y + side / 2), abs=1.5)


def test_faces_cut_by_an_inner_edge_are_left_to_the_neighbour() -> None:
    first = next(iter(tiles(np.zeros((3000, 4000, 3), np.uint8), SIDE)))
    cut_right, cut_below = (600, 100, 639, 160), (100, 600, 160, 650)
    at_photo_edge, inside = (-3, 0, 40, 40), (300, 300, 350, 350)
    kept = first.to_image(found(cut_right, cut_below, at_photo_edge, inside))
    assert len(kept) == 2


def test_huge_photos_have_a_bounded_number_of_tiles() -> None:
    assert len(list(tiles(np.zeros((9000, 11_000, 3), np.uint8), SIDE))) <= 80
