"""Detections as arrays: suppression and merging of what several looks at one image found."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.vision.types import Box, Detection

SAME_IOU = 0.4
"""Overlap from which on two boxes are one face: insightface's own threshold."""
SAME_COVERED = 0.7
"""Share of the smaller box inside the larger from which on two looks at an image found one face."""


@dataclass(frozen=True, slots=True)
class Detections:
    """N faces of one image.

    boxes: (N, 4) float32 left, top, right, bottom. scores: (N,) float32 in [0, 1]. landmarks:
    (N, 5, 2) float32; eyes, nose, mouth corners, image-left first. All in pixels.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    landmarks: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> "Detections":
        """Those of the given positions, or those where a mask is true."""
        return Detections(self.boxes[index], self.scores[index], self.landmarks[index])

    def best_first(self) -> "Detections":
        """Ordered by score; equal ones stay in their order."""
        return self.take(np.argsort(-self.scores, kind="stable"))

    def moved(self, *, scale: float, x: float = 0.0, y: float = 0.0) -> "Detections":
        """Divided by `scale`, then shifted: from a canvas back to the image it was made of."""
        shift = np.array([x, y], dtype=np.float32)
        return Detections(
            self.boxes / scale + np.tile(shift, 2), self.scores, self.landmarks / scale + shift
        )

    def as_list(self) -> list[Detection]:
        """One value a face."""
        return [
            Detection(
                Box(left, top, right - left, bottom - top), self.landmarks[i], float(self.scores[i])
            )
            for i, (left, top, right, bottom) in enumerate(self.boxes.tolist())
        ]


NOTHING = Detections(
    np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty((0, 5, 2), np.float32)
)
"""No faces."""


def concatenate(parts: Sequence[Detections]) -> Detections:
    """All faces of several detections, in their order. At least one part."""
    return Detections(
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.landmarks for part in parts]),
    )


def suppress(found: Detections) -> Detections:
    """Keep the best of each group of overlapping boxes, best first.

    Source: insightface model_zoo/scrfd.py::SCRFD.nms, whose boxes include their last pixel.
    """
    found = found.best_first()
    keep: list[int] = []
    left = np.arange(len(found))
    while len(left):
        best, left = left[0], left[1:]
        keep.append(int(best))
        iou, _ = _overlaps(found.boxes[best], found.boxes[left])
        left = left[iou <= SAME_IOU]
    return found.take(np.array(keep, dtype=np.intp))


def merge(fixed: Detections, others: Detections) -> Detections:
    """Add to `fixed` the faces that it lacks, best first, so that no face comes out twice.

    All of `fixed` stays as it is. Another look cuts and crops faces differently, so that besides
    overlapping boxes also a box inside another counts as the same face.
    """
    kept = fixed
    others = others.best_first()
    for i in range(len(others)):
        iou, covered = _overlaps(others.boxes[i], kept.boxes)
        if not ((iou > SAME_IOU) | (covered > SAME_COVERED)).any():
            kept = concatenate([kept, others.take(np.array([i]))])
    return kept


def _overlaps(
    box: NDArray[np.float32], boxes: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(N,) intersection over union of one box with N, and over the smaller of the two."""
    low = np.maximum(box[:2], boxes[:, :2])
    high = np.minimum(box[2:], boxes[:, 2:])
    common = np.maximum(0.0, high - low + 1).prod(axis=1)
    area = (box[2:] - box[:2] + 1).prod()
    areas = (boxes[:, 2:] - boxes[:, :2] + 1).prod(axis=1)
    return common / (area + areas - common), common / np.minimum(area, areas)
