"""What can be measured of a detected face, and which faces are worth a template."""

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from common.vision.faces.align import CROP_SIDE, DegenerateLandmarks, crop_scale
from common.vision.faces.pose import Pose, estimate_pose
from common.vision.images.picture import View
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


# From faces of real photos made worse step by step, by the similarity to the unspoilt face
# (MobileFaceNet): LOW where it falls below about 0.5, that is to what strangers reach; MEDIUM where
# it falls below about 0.85.
_LOW = Thresholds(20, 0.5, 0.14, 75, 60, 0.035, 0.96)
THRESHOLDS: dict[QualityFilter, Thresholds | None] = {
    QualityFilter.NONE: None,
    QualityFilter.LOW: _LOW,
    QualityFilter.MEDIUM: Thresholds(32, 0.6, 0.28, 60, 45, 0.08, 0.9),
    QualityFilter.HIGH: Thresholds(80, 0.65, 0.5, 35, 35, 0.2, 0.85),
    # Looking for oneself, a missed photo is worse than a poor one found: as little as possible is
    # left out.
    QualityFilter.AUTO: _LOW,
}
_BLURRED, _CRISP = 0.25, 1.5
"""Mean spatial frequencies, in radians per pixel of the normalised face, of sharpness 0 and 1."""
_SOBEL_GAIN = 64.0
"""What the Sobel operator adds to a squared gradient."""
_NOISE = 16.0
"""Squared gradient, in grey levels per pixel, that rounding and JPEG put even on a smooth face."""
_GOOD_SIDE = float(CROP_SIDE)
"""Shorter side of a box, in pixels, from which on more pixels tell the recogniser nothing."""
_SPARE_PIXELS = 1.25
"""Pixels of a shrunk photo per pixel of the aligned face, along a side, from which on shrinking
costs neither accuracy nor sharpness: see docs/decisions/0003-image-decoding.md."""


def needed_scale(detections: Sequence[Detection], options: AnalyzeOptions) -> float:
    """The scale of a photo that is enough to measure and embed its faces, in (0, 1].

    Faces that the quality filter refuses for their size or score need no more pixels.
    """
    thresholds = THRESHOLDS[options.quality_filter]
    scales = [0.0]
    for detection in detections:
        if thresholds is None or _large_and_sure(detection, thresholds):
            with suppress(DegenerateLandmarks):  # it will have no template
                scales.append(_SPARE_PIXELS * crop_scale(detection.landmarks))
    return min(max(scales), 1.0)


def assess(view: View, detections: Sequence[Detection], options: AnalyzeOptions) -> list[Face]:
    """Measure the faces of one photo and say which are not worth a template.

    view: at `needed_scale` or above. detections: in pixels of the photo. Returns the faces largest
    first, without embeddings; `reasons` names everything that the quality filter finds, and
    EXCEEDS_MAX_FACES for good faces beyond the `max_faces` largest.
    """
    faces: list[Face] = []
    good = 0
    for detection in largest_first(detections):
        quality = measure(view, detection)
        reasons = _reasons(detection, quality, THRESHOLDS[options.quality_filter])
        if not reasons:
            good += 1
            if good > options.max_faces:
                reasons = (FaceReason.EXCEEDS_MAX_FACES,)
        faces.append(Face(detection, quality, reasons))
    return faces


def measure(view: View, detection: Detection) -> Quality:
    """Measure one face of a photo: see `Quality` for the ranges."""
    grey = _grey_crop(view.pixels, view.box(detection.box))
    pose = estimate_pose(detection.landmarks)
    sharpness = _sharpness(grey)
    brightness = float(grey.mean()) / 255.0
    score = _score(detection, sharpness, brightness, pose)
    return Quality(score, sharpness, brightness, pose.yaw, pose.pitch, pose.roll)


def _grey_crop(image: BgrImage, box: Box) -> NDArray[np.float32]:
    """(112, 112) grey levels: the part of the box inside the image, at the recogniser's size."""
    height, width = image.shape[:2]
    left, right = _inside(box.x, box.x + box.width, width)
    top, bottom = _inside(box.y, box.y + box.height, height)
    # As floats, or the rounding of a shrunk blur would look like detail.
    grey = cv2.cvtColor(image[top:bottom, left:right], cv2.COLOR_BGR2GRAY).astype(np.float32)
    shrinks = min(grey.shape) > CROP_SIDE
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    crop = cv2.resize(grey, (CROP_SIDE, CROP_SIDE), interpolation=interpolation)
    return np.asarray(crop, dtype=np.float32)


def _inside(start: float, end: float, length: int) -> tuple[int, int]:
    """At least one pixel of [start, end) inside [0, length)."""
    first = min(max(math.floor(start), 0), length - 1)
    return first, max(min(math.ceil(end), length), first + 1)


def _sharpness(grey: NDArray[np.float32]) -> float:
    """Mean spatial frequency of a normalised face, mapped to [0, 1].

    The root of (mean squared Laplacian / mean squared gradient): unlike the variance of the
    Laplacian alone, it does not take contrast, make-up or a beard for sharpness. A Gaussian blur of
    1, 2, 4 pixels of the normalised face brings a crisp one to about 0.5, 0.25, 0.1.
    """
    bend = float(np.square(cv2.Laplacian(grey, cv2.CV_32F)).mean())
    slope_x, slope_y = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    slope = float((np.square(slope_x) + np.square(slope_y)).mean()) / _SOBEL_GAIN
    frequency = math.sqrt(bend / (slope + _NOISE))
    return min(max((frequency - _BLURRED) / (_CRISP - _BLURRED), 0.0), 1.0)


def _side(detection: Detection) -> float:
    """Shorter side of the box."""
    return min(detection.box.width, detection.box.height)


def _large_and_sure(detection: Detection, thresholds: Thresholds) -> bool:
    return _side(detection) >= thresholds.side and detection.score >= thresholds.detection_score


def _score(detection: Detection, sharpness: float, brightness: float, pose: Pose) -> float:
    """Geometric mean of what each figure is worth, in [0, 1]: one hopeless figure makes a hopeless
    face."""
    turned = math.cos(math.radians(pose.yaw)) * math.cos(math.radians(pose.pitch))
    lit = 1.0 - (2.0 * brightness - 1.0) ** 2
    worth = (detection.score, sharpness, _side(detection) / _GOOD_SIDE, turned, lit)
    return math.prod(min(max(part, 0.0), 1.0) for part in worth) ** (1 / len(worth))


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
        (FaceReason.SMALL_BOX, _side(detection) < thresholds.side),
        (FaceReason.LOW_CONFIDENCE, detection.score < thresholds.detection_score),
        (FaceReason.LOW_BRIGHTNESS, quality.brightness < thresholds.darkest),
        (FaceReason.HIGH_BRIGHTNESS, quality.brightness > thresholds.brightest),
    )
    return tuple(reason for reason, applies in checks if applies)
