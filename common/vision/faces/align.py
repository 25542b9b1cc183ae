"""Alignment of faces to the template that ArcFace recognisers were trained on."""

import cv2
import numpy as np
from numpy.typing import NDArray

CROP_SIDE = 112
"""Side of an aligned face, in pixels."""

ARCFACE_TEMPLATE: NDArray[np.float32] = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ],
    dtype=np.float32,
)
"""(5, 2) pixels of the aligned face: eyes, nose, mouth corners, image-left first. Source:
insightface utils/face_align.py."""

_FLAT = 1e-6
"""Share of the variance across the landmarks' main axis below which they lie on a line."""


class DegenerateLandmarks(ValueError):
    """The landmarks do not span a plane, so that no alignment follows from them."""


def similarity_transform(
    source: NDArray[np.floating], target: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Find the rotation, uniform scale and shift that best map `source` onto `target`.

    source, target: (N, 2). Returns (2, 3), float64. Raises DegenerateLandmarks if `source` is not
    finite or does not span a plane.
    Source: Umeyama 1991, in two dimensions: with points as complex numbers, least squares of a*z +
    b has a closed form.
    """
    points = np.asarray(source, dtype=np.float64)
    if not np.isfinite(points).all():
        raise DegenerateLandmarks("landmarks are missing")
    centre = points.mean(axis=0)
    flat, wide = np.linalg.eigvalsh(np.cov((points - centre).T))
    if flat <= _FLAT * wide:
        raise DegenerateLandmarks("landmarks lie on a line or a point")
    goal = np.asarray(target, dtype=np.float64)
    z = (points - centre) @ (1, 1j)
    w = (goal - goal.mean(axis=0)) @ (1, 1j)
    a = np.vdot(z, w) / np.vdot(z, z).real
    linear = np.array([[a.real, -a.imag], [a.imag, a.real]])
    return np.column_stack([linear, goal.mean(axis=0) - linear @ centre])


def crop_scale(landmarks: NDArray[np.float32]) -> float:
    """Pixels of the aligned face per pixel of the image; more than 1 enlarges it.

    landmarks: as in `align_face`. Raises DegenerateLandmarks if the points do not span a plane.
    """
    return float(np.hypot(*similarity_transform(landmarks, ARCFACE_TEMPLATE)[:, 0]))


def align_face(image: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Warp one face onto the ArcFace template.

    image: (H, W, 3) BGR. landmarks: (5, 2) pixels; eyes, nose, mouth corners, image-left first.
    Returns (112, 112, 3) BGR, black where the face reaches outside the image. Raises
    DegenerateLandmarks if the points do not span a plane.
    Source: insightface utils/face_align.py::norm_crop (MIT).
    """
    matrix = similarity_transform(landmarks, ARCFACE_TEMPLATE)
    return np.asarray(cv2.warpAffine(image, matrix, (CROP_SIDE, CROP_SIDE)), dtype=np.uint8)
