"""The pose follows from where a rigid head's landmarks are seen."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from common.vision.faces.pose import estimate_pose

# Eyes, nose, mouth corners of a head in millimetres: right, down, towards the viewer.
HEAD = np.array(
    [[-31.5, 0, 0], [31.5, 0, 0], [0, 40.5, 26.5], [-26, 72.5, 0], [26, 72.5, 0]],
)


def seen(yaw: float, pitch: float = 0, roll: float = 0) -> NDArray[np.float32]:
    """Landmarks of the head from far away, turned by pitch, then yaw, then roll."""
    a, b, c = (math.radians(angle) for angle in (pitch, yaw, roll))
    nod = np.array([[1, 0, 0], [0, math.cos(a), -math.sin(a)], [0, math.sin(a), math.cos(a)]])
    turn = np.array([[math.cos(b), 0, math.sin(b)], [0, 1, 0], [-math.sin(b), 0, math.cos(b)]])
    tilt = np.array([[math.cos(c), -math.sin(c), 0], [math.sin(c), math.cos(c), 0], [0, 0, 1]])
    points: NDArray[np.float32] = (HEAD @ (tilt @ turn @ nod).T)[:, :2] * 2 + 300
    return points.astype(np.float32)


@given(st.floats(-75, 75), st.floats(-170, 170))
def test_yaw_and_roll_are_recovered(yaw: float, roll: float) -> None:
    pose = estimate_pose(seen(yaw, roll=roll))
    assert pose.yaw == pytest.approx(yaw, abs=3)
    assert pose.roll == pytest.approx(roll, abs=1)
    assert abs(pose.pitch) < 8


@given(st.floats(-50, 50))
def test_pitch_is_recovered(pitch: float) -> None:
    pose = estimate_pose(seen(0, pitch))
    assert pose.pitch == pytest.approx(pitch, abs=8)
    assert abs(pose.yaw) < 1


@given(st.floats(-60, 60), st.floats(-30, 30))
def test_without_a_mouth_yaw_and_roll_remain(yaw: float, roll: float) -> None:
    landmarks = seen(yaw, roll=roll)
    landmarks[3:] = np.nan
    pose = estimate_pose(landmarks)
    assert pose.yaw == pytest.approx(yaw, abs=3)
    assert pose.roll == pytest.approx(roll, abs=1)
    assert pose.pitch == 0


def test_without_eyes_nothing_is_claimed() -> None:
    pose = estimate_pose(np.full((5, 2), np.nan, dtype=np.float32))
    assert (pose.yaw, pose.pitch, pose.roll) == (0, 0, 0)


@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=10, max_size=10))
def test_angles_stay_in_their_ranges(values: list[float]) -> None:
    pose = estimate_pose(np.array(values, dtype=np.float32).reshape(5, 2))
    assert -90 <= pose.yaw <= 90
    assert -90 <= pose.pitch <= 90
    assert -180 <= pose.roll <= 180
