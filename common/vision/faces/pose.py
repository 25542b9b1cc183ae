"""How a head is turned, estimated from five landmarks."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.vision.faces.align import ARCFACE_TEMPLATE

_EYES = slice(0, 2)
_NOSE = 2
_MOUTH = slice(3, 5)
_EYES_TO_MOUTH = float(ARCFACE_TEMPLATE[_MOUTH, 1].mean() - ARCFACE_TEMPLATE[_EYES, 1].mean())
_NOSE_HEIGHT = 0.56
"""Where the nose of a level face stands between eyes (0) and mouth corners (1). The template says
0.5, but people smile in photos, which raises the corners: 0.56 lies between a sober face and a
laughing one."""
_NOSE_DEPTH = 0.42
"""How far the tip of the nose stands out before the eyes, in eye distances (about 27 of 63 mm)."""
_EYE_DISTANCE = float(ARCFACE_TEMPLATE[1, 0] - ARCFACE_TEMPLATE[0, 0])


@dataclass(frozen=True, slots=True)
class Pose:
    """Angles of a head, in degrees.

    yaw: in [-90, 90], positive when the nose points to the image's right. pitch: in [-90, 90],
    positive when raised. roll: in [-180, 180], positive when tilted clockwise in the image.
    """

    yaw: float
    pitch: float
    roll: float


def estimate_pose(landmarks: NDArray[np.float32]) -> Pose:
    """Estimate the pose from where the nose stands between eyes and mouth.

    landmarks: (5, 2) pixels; eyes, nose, mouth corners, image-left first; NaN where not located.
    Without mouth corners the pitch is 0; without eyes or nose all is 0. The head is taken for a
    rigid body seen from far away, whose nose stands out of the plane of eyes and mouth: turning it
    moves the nose, in proportion to the angle's tangent.
    """
    points = np.asarray(landmarks, dtype=np.float64)
    if not np.isfinite(points[: _NOSE + 1]).all():
        return Pose(0.0, 0.0, 0.0)
    left, right = points[_EYES]
    across = right - left
    distance = float(np.hypot(*across)) or 1.0
    roll = math.degrees(math.atan2(across[1], across[0]))
    x_axis = across / distance
    y_axis = np.array([-x_axis[1], x_axis[0]])
    nose = points[_NOSE] - points[_EYES].mean(axis=0)
    mouth = points[_MOUTH].mean(axis=0) - points[_EYES].mean(axis=0)
    if not np.isfinite(mouth).all():
        return Pose(_yaw(float(nose @ x_axis), distance), 0.0, roll)
    # The eyes' line leans where one eye is misplaced: the line down to the mouth tells the middle
    # of the face as well.
    offset = float(nose @ x_axis) - _NOSE_HEIGHT * float(mouth @ x_axis)
    return Pose(_yaw(offset, distance), _pitch(float(nose @ y_axis), float(mouth @ y_axis)), roll)


def _yaw(offset: float, eye_distance: float) -> float:
    return math.degrees(math.atan2(offset, _NOSE_DEPTH * eye_distance))


def _pitch(nose: float, mouth: float) -> float:
    if mouth <= 0:
        return 0.0
    depth = _NOSE_DEPTH * _EYE_DISTANCE / _EYES_TO_MOUTH
    return math.degrees(math.atan2(_NOSE_HEIGHT - nose / mouth, depth))
