"""Finds faces with dlib's HOG detector, looking at the image in several sizes and turns."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import _dlib_pybind11 as dlib
import cv2
import numpy as np
from numpy.typing import NDArray

from common.vision.types import BgrImage, Box, Detail, Detection

PREDICTOR = "shape_predictor_5_face_landmarks.dat"
SURE = 0.35
"""Distance from HOG's border that tells faces from the rest: of 165 faces in real photos one was
nearer (half were beyond 1.7), of what was no face all."""
MAX_OVERLAP = 0.3
"""Boxes of a larger IoU are one face seen twice."""


@dataclass(frozen=True, slots=True)
class View:
    """One way to look at an image: scaled to a longer side in pixels, turned, with a margin around.

    The detector's window is 80 pixels wide, so that a view shows faces from 80 / long_side on.
    margin: share of the longer side, filled with the pixels at the edge; it lets the window reach
    over the edge, for selfies that the face fills.
    """

    long_side: int
    max_scale: float
    turn_deg: float = 0.0
    margin: float = 0.0


_SELFIE = View(400, 2.0, margin=0.1)
# HOG knows upright faces only: it loses them from a tilt of about 15 degrees on. The turned views
# are smaller, because they cost as much as the upright one and find little that is new.
VIEWS = {
    Detail.STANDARD: (View(1600, 2.0), View(1000, 2.0, 16), View(1000, 2.0, -16), _SELFIE),
    Detail.HIGH: (View(3200, 4.0), View(2000, 4.0, 16), View(2000, 4.0, -16), _SELFIE),
}


@dataclass(frozen=True, slots=True, eq=False)
class FoundFace:
    """A detection with what aligns it.

    corners: (5, 2) pixels: outer and inner corner of the eye at the image's right, outer and inner
    of the one at its left, base of the nose (dlib's order).
    """

    detection: Detection
    corners: NDArray[np.float64]


class StarterDetector:
    """HOG detector and 5-point predictor."""

    def __init__(self, models: Path) -> None:
        self._hog: Any = dlib.get_frontal_face_detector()
        # Not the 68-point one: the data it was trained on is not for commercial use.
        self._predictor: Any = dlib.shape_predictor(str(models / PREDICTOR))

    def find(self, image: BgrImage, detail: Detail) -> list[FoundFace]:
        """All faces of the image, the largest first, each once."""
        grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), dtype=np.uint8)
        seen = [face for view in VIEWS[detail] for face in self._look(grey, view)]
        seen.sort(key=lambda face: -face.detection.score)
        faces: list[FoundFace] = []
        for face in seen:
            if all(_iou(face.detection.box, k.detection.box) < MAX_OVERLAP for k in faces):
                faces.append(face)
        return sorted(faces, key=_size_and_place)

    def _look(self, grey: NDArray[np.uint8], view: View) -> list[FoundFace]:
        shown, to_view = _show(grey, view)
        rectangles, scores, _ = self._hog.run(shown, 0, 0.0)
        back = cv2.invertAffineTransform(to_view)
        scale = float(np.hypot(*back[:, 0]))
        faces: list[FoundFace] = []
        for rectangle, score in zip(rectangles, scores, strict=True):
            parts = self._predictor(shown, rectangle).parts()
            corners = _moved(np.array([(p.x, p.y) for p in parts], dtype=np.float64), back)
            middle = (
                (rectangle.left() + rectangle.right() + 1) / 2,
                (rectangle.top() + rectangle.bottom() + 1) / 2,
            )
            x, y = _moved(np.array([middle]), back)[0].tolist()
            width, height = rectangle.width() * scale, rectangle.height() * scale
            box = Box(x - width / 2, y - height / 2, width, height)
            faces.append(FoundFace(Detection(box, _landmarks(corners), _score(score)), corners))
        return faces


def _show(grey: NDArray[np.uint8], view: View) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """The image as the view shows it, and the (2, 3) affine map from image to view."""
    scale = min(view.long_side / max(grey.shape), view.max_scale)
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    shown = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=interpolation)
    edge = round(view.margin * max(shown.shape))
    if edge:
        shown = cv2.copyMakeBorder(shown, edge, edge, edge, edge, cv2.BORDER_REPLICATE)
    height, width = shown.shape
    to_view = np.array([[scale, 0, edge], [0, scale, edge]], dtype=np.float64)
    if view.turn_deg:
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), view.turn_deg, 1.0)
        shown = cv2.warpAffine(shown, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
        to_view = np.asarray(turn @ np.vstack([to_view, [0, 0, 1]]), dtype=np.float64)
    return np.asarray(shown, dtype=np.uint8), to_view


def _moved(points: NDArray[np.float64], affine: Any) -> NDArray[np.float64]:
    return np.asarray(points @ affine[:, :2].T + affine[:, 2], dtype=np.float64)


def _landmarks(corners: NDArray[np.float64]) -> NDArray[np.float32]:
    """Our five landmarks: eye centres image-left first, base of the nose, no mouth."""
    unknown = [np.nan, np.nan]
    left, right = corners[2:4].mean(axis=0), corners[0:2].mean(axis=0)
    return np.array([left, right, corners[4], unknown, unknown], dtype=np.float32)


def _score(margin: float) -> float:
    """HOG's distance from its decision border (0 to about 3) as a score in [0, 1).

    SURE becomes 0.5, which every quality filter but NONE asks for.
    """
    return float(1.0 - 2.0 ** (-max(margin, 0.0) / SURE))


def _size_and_place(face: FoundFace) -> tuple[float, float, float]:
    box = face.detection.box
    return -box.area, box.y, box.x


def _iou(a: Box, b: Box) -> float:
    across = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
    down = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
    shared = max(across, 0.0) * max(down, 0.0)
    return shared / (a.area + b.area - shared)


def dlib_points(corners: NDArray[np.float64], box: Box) -> Any:
    """The corners as dlib's `full_object_detection`, in whole pixels as it wants them."""
    edges = (box.x, box.y, box.x + box.width, box.y + box.height)
    rectangle = dlib.rectangle(*(round(edge) for edge in edges))
    points: Sequence[Any] = [dlib.point(round(x), round(y)) for x, y in corners.tolist()]
    return dlib.full_object_detection(rectangle, points)
