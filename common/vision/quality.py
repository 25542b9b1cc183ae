"""What can be measured of a detected face, and which faces are worth a template."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from common.vision.align import CROP_SIDE
from common.vision.pose import Pose, estimate_pose
from common.vision.types import (
    AnalyzeOptions,
    BgrImage,
    Box,
    Detection,
    Face,
    FaceReason,
    Quality,
    QualityFilter,
    largest_first,
)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What a face must reach to be worth a template."""

    side: float
    """Shorter side of the box, in pixels of the image."""
    detection_score: float
    sharpness: float
    yaw: float
    pitch: float
    """Largest angles to either side, in degrees."""
    darkest: float
    brightest: float
    """Range of the mean brightness."""


_LOW = Thresholds(20, 0.5, 0.06, 75, 60, 0.06, 0.97)
THRESHOLDS: dict[QualityFilter, Thresholds | None] = {
    QualityFilter.NONE: None,
    QualityFilter.LOW: _LOW,
    QualityFilter.MEDIUM: Thresholds(32, 0.6, 0.15, 60, 45, 0.12, 0.92),
    QualityFilter.HIGH: Thresholds(80, 0.7, 0.3, 30, 30, 0.2, 0.85),
    QualityFilter.AUTO: _LOW,
}


def assess(image: BgrImage, detections: Sequence[Detection], options: AnalyzeOptions) -> list[Face]:
    """Measure the faces of one image and say which are not worth a template.

    image: (H, W, 3) BGR. Returns the faces largest first, without embeddings; `reasons` names everything that the
    quality filter finds, and EXCEEDS_MAX_FACES for good faces beyond the `max_faces` largest.
    """
    faces: list[Face] = []
    good = 0
    for detection in largest_first(detections):
        quality = measure(image, detection)
        reasons = _reasons(detection, quality, THRESHOLDS[options.quality_filter])
        if not reasons:
            good += 1
            if good > options.max_faces:
                reasons = (FaceReason.EXCEEDS_MAX_FACES,)
        faces.append(Face(detection, quality, reasons))
    return faces


def measure(image: BgrImage, detection: Detection) -> Quality:
    """Measure one face: see `Quality` for the ranges."""
    grey = _grey_crop(image, detection.box)
    pose = estimate_pose(detection.landmarks)
    sharpness = _sharpness(grey)
    brightness = float(grey.mean()) / 255.0
    score = _score(detection, sharpness, brightness, pose)
    return Quality(score, sharpness, brightness, pose.yaw, pose.pitch, pose.roll)


def _grey_crop(image: BgrImage, box: Box) -> NDArray[np.uint8]:
    """(112, 112) grey: the part of the box inside the image, at the recogniser's size."""
    height, width = image.shape[:2]
    left, right = _inside(box.x, box.x + box.width, width)
    top, bottom = _inside(box.y, box.y + box.height, height)
    part = image[top:bottom, left:right]
    shrinks = min(part.shape[:2]) > CROP_SIDE
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    crop = cv2.resize(part, (CROP_SIDE, CROP_SIDE), interpolation=interpolation)
    return np.asarray(cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY), dtype=np.uint8)


def _inside(start: float, end: float, length: int) -> tuple[int, int]:
    """At least one pixel of [start, end) inside [0, length)."""
    first = min(max(math.floor(start), 0), length - 1)
    return first, max(min(math.ceil(end), length), first + 1)


def _sharpness(grey: NDArray[np.uint8]) -> float:
    """Variance of the Laplacian, mapped to [0, 1]."""
    variance = float(cv2.Laplacian(grey, cv2.CV_64F).var())
    return variance / (variance + 200.0)


def _score(detection: Detection, sharpness: float, brightness: float, pose: Pose) -> float:
    side = min(detection.box.width, detection.box.height)
    parts = (
        min(max(detection.score, 0.0), 1.0),
        sharpness,
        min(side / CROP_SIDE, 1.0),
        max(math.cos(math.radians(pose.yaw)), 0.0),
        1.0 - abs(2.0 * brightness - 1.0) ** 2,
    )
    return float(np.prod(parts) ** (1 / len(parts)))


def _reasons(
    detection: Detection, quality: Quality, thresholds: Thresholds | None
) -> tuple[FaceReason, ...]:
    if thresholds is None:
        return ()
    checks = (
        (FaceReason.LOW_SHARPNESS, quality.sharpness < thresholds.sharpness),
        (
            FaceReason.EXTREME_POSE,
            abs(quality.yaw) > thresholds.yaw or abs(quality.pitch) > thresholds.pitch,
        ),
        (
            FaceReason.SMALL_BOX,
            min(detection.box.width, detection.box.height) < thresholds.side,
        ),
        (FaceReason.LOW_CONFIDENCE, detection.score < thresholds.detection_score),
        (FaceReason.LOW_BRIGHTNESS, quality.brightness < thresholds.darkest),
        (FaceReason.HIGH_BRIGHTNESS, quality.brightness > thresholds.brightest),
    )
    return tuple(reason for reason, applies in checks if applies)
