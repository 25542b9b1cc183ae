"""Faces land on the ArcFace template, however they stand in the photo."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from skimage.transform import SimilarityTransform

from common.vision.faces.align import (
    ARCFACE_TEMPLATE,
    CROP_SIDE,
    DegenerateLandmarks,
    align_face,
    similarity_transform,
)

angles = st.floats(-180, 180)
scales = st.floats(0.05, 50)
shifts = st.tuples(st.floats(-5000, 5000), st.floats(-5000, 5000))
jitter = arrays(np.float64, (5, 2), elements=st.floats(-6, 6))


def moved(
    points: NDArray[np.float32], angle: float, scale: float, shift: tuple[float, float]
) -> NDArray[np.float64]:
    turn = np.radians(angle)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    result: NDArray[np.float64] = points @ rotation.T * scale + shift
    return result


def apply(matrix: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    return points @ matrix[:, :2].T + matrix[:, 2]


@given(angles, scales, shifts)
def test_any_turn_scale_and_shift_is_undone(
    angle: float, scale: float, shift: tuple[float, float]
) -> None:
    face = moved(ARCFACE_TEMPLATE, angle, scale, shift)
    matrix = similarity_transform(face, ARCFACE_TEMPLATE)
    np.testing.assert_allclose(apply(matrix, face), ARCFACE_TEMPLATE, atol=1e-3)


@given(angles, scales, shifts, jitter)
def test_equals_the_reference_for_imperfect_faces(
    angle: float, scale: float, shift: tuple[float, float], noise: NDArray[np.float64]
) -> None:
    face = moved(ARCFACE_TEMPLATE + noise.astype(np.float32), angle, scale, shift)
    reference = SimilarityTransform.from_estimate(face, ARCFACE_TEMPLATE)
    assume(reference)
    matrix = similarity_transform(face, ARCFACE_TEMPLATE)
    corners = face.mean(axis=0) + np.ptp(face, axis=0) * [[-1, -1], [1, -1], [-1, 1], [1, 1]]
    expected = apply(reference.params[:2], corners)
    np.testing.assert_allclose(apply(matrix, corners), expected, atol=1e-4)


@pytest.mark.parametrize(
    "points",
    [
        np.full((5, 2), 7.0),
        np.column_stack([np.arange(5.0), 2 * np.arange(5.0)]),
        np.array([[1, 2], [9, 2], [5, 6], [np.nan, np.nan], [np.nan, np.nan]]),
    ],
    ids=["one point", "a line", "no mouth"],
)
def test_landmarks_that_span_no_plane_are_refused(points: NDArray[np.float64]) -> None:
    with pytest.raises(DegenerateLandmarks):
        align_face(np.zeros((20, 20, 3), np.uint8), points.astype(np.float32))


def test_a_marked_face_is_warped_onto_the_template() -> None:
    landmarks = moved(ARCFACE_TEMPLATE, 25, 3, (200, 150)).astype(np.float32)
    image = np.zeros((800, 800, 3), np.uint8)
    for x, y in landmarks.round().astype(int):
        image[y - 6 : y + 7, x - 6 : x + 7] = 255
    crop = align_face(image, landmarks)
    assert crop.shape == (CROP_SIDE, CROP_SIDE, 3)
    for x, y in ARCFACE_TEMPLATE.round().astype(int):
        assert crop[y, x].min() > 200
    assert crop.mean() < 20
