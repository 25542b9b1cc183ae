"""Several looks at one image give each face once."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from common.vision.faces.detections import NOTHING, Detections, concatenate, merge, suppress


def faces(*rows: tuple[float, float, float, float, float]) -> Detections:
    """Faces from (left, top, right, bottom, score)."""
    if not rows:
        return NOTHING
    table = np.array(rows, dtype=np.float32)
    return Detections(table[:, :4], table[:, 4], np.zeros((len(rows), 5, 2), np.float32))


@st.composite
def some_faces(draw: st.DrawFn) -> Detections:
    side = st.floats(4, 200)
    row = st.tuples(st.floats(0, 400), st.floats(0, 400), side, side, st.floats(0.5, 1))
    rows = draw(st.lists(row, max_size=12))
    return faces(*((x, y, x + w, y + h, score) for x, y, w, h, score in rows))


def overlap(a: list[float], b: list[float]) -> tuple[float, float]:
    """Intersection over union, and over the smaller box; the last pixel belongs to a box."""
    width = min(a[2], b[2]) - max(a[0], b[0]) + 1
    height = min(a[3], b[3]) - max(a[1], b[1]) + 1
    common = max(width, 0) * max(height, 0)
    first, second = ((c[2] - c[0] + 1) * (c[3] - c[1] + 1) for c in (a, b))
    return common / (first + second - common), common / min(first, second)


@given(some_faces())
def test_suppression_leaves_no_two_that_overlap_and_drops_no_other(found: Detections) -> None:
    kept = suppress(found)
    boxes = kept.boxes.tolist()
    for i, box in enumerate(boxes):
        assert all(overlap(box, other)[0] <= 0.4 + 1e-4 for other in boxes[:i])
    for box, score in zip(found.boxes.tolist(), found.scores, strict=True):
        better = kept.boxes[kept.scores >= score].tolist()
        assert any(overlap(box, other)[0] > 0.4 - 1e-4 for other in better)


@given(some_faces(), some_faces())
def test_merging_moves_no_fixed_face_and_adds_none_twice(
    fixed: Detections, others: Detections
) -> None:
    merged = merge(fixed, others)
    assert merged.boxes[: len(fixed)].tolist() == fixed.boxes.tolist()
    boxes = merged.boxes.tolist()
    for i in range(len(fixed), len(merged)):
        for other in boxes[:i]:
            iou, covered = overlap(boxes[i], other)
            assert iou <= 0.4 + 1e-4
            assert covered <= 0.7 + 1e-4


def test_a_part_of_a_known_face_is_not_added() -> None:
    known = faces((0, 0, 200, 200, 0.7))
    assert len(merge(known, faces((50, 50, 100, 100, 0.99)))) == 1


def test_a_whole_face_replaces_its_doubtful_part() -> None:
    part, whole = (50, 50, 100, 100, 0.55), (0, 0, 200, 200, 0.8)
    merged = merge(NOTHING, faces(part, whole))
    assert merged.boxes.tolist() == [[0, 0, 200, 200]]


def test_neighbours_are_added() -> None:
    assert len(merge(faces((0, 0, 50, 50, 0.9)), faces((60, 0, 110, 50, 0.5)))) == 2


def test_faces_move_back_to_the_image() -> None:
    found = Detections(
        np.array([[10, 20, 30, 40]], np.float32),
        np.array([0.9], np.float32),
        np.array([[[1, 2], [3, 4], [5, 6], [7, 8], [9, 10]]], np.float32),
    )
    moved = found.moved(scale=0.5, x=100, y=200)
    assert moved.boxes.tolist() == [[120, 240, 160, 280]]
    assert moved.landmarks[0, 0].tolist() == [102, 204]
    (face,) = moved.as_list()
    assert (face.box.x, face.box.y, face.box.width, face.box.height) == (120, 240, 40, 40)


def test_equal_scores_keep_their_order() -> None:
    found = concatenate(
        [faces((0, 0, 9, 9, 0.5)), faces((50, 0, 59, 9, 0.5), (99, 0, 120, 9, 0.5))]
    )
    assert suppress(found).boxes[:, 0].tolist() == [0, 50, 99]
