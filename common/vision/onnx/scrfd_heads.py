"""What SCRFD detectors put out, as faces.

Source: insightface model_zoo/scrfd.py, whose results are reproduced exactly.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from common.vision.faces.detections import Detections, concatenate

STRIDES = (8, 16, 32)
ANCHORS = 2
"""Predictions at each position of a feature map."""
MIN_SCORE = 0.5
"""Faces of smaller score are not reported: insightface's own threshold."""

Heads = Sequence[NDArray[np.float32]]
"""Scores, boxes, landmarks, each for strides 8, 16, 32; as (batch, rows, k), or as (rows, k) with
the batch between position and anchor, as the official packs export it. Rows run over y, x, anchor.
Boxes and landmarks are distances from the position, in strides."""


def decode_heads(heads: Heads, *, batch: int, height: int, width: int) -> list[Detections]:
    """Turn a detector's raw outputs into faces of at least MIN_SCORE, in canvas pixels.

    height, width: of the canvases, in pixels.
    """
    found: list[list[Detections]] = [[] for _ in range(batch)]
    for level, stride in enumerate(STRIDES):
        centres = _centres(height // stride, width // stride, stride)
        scores, boxes, landmarks = (
            batch_first(heads[level + kind * len(STRIDES)], batch) for kind in range(3)
        )
        for item in range(batch):
            hit = np.flatnonzero(scores[item, :, 0] >= MIN_SCORE)
            found[item].append(
                _decode(
                    centres[hit],
                    scores[item, hit, 0],
                    boxes[item, hit] * stride,
                    landmarks[item, hit] * stride,
                )
            )
    return [concatenate(levels) for levels in found]


def numbered(heads: Heads, *, batch: int) -> NDArray[np.bool_]:
    """(batch,) whether all scores of an item are numbers; else nothing can be said of it."""
    scores = [batch_first(head, batch) for head in heads[: len(STRIDES)]]
    sound = [np.isfinite(each).all(axis=(1, 2)) for each in scores]
    return np.asarray(np.all(sound, axis=0))


def batch_first(head: NDArray[np.float32], batch: int) -> NDArray[np.float32]:
    """(batch, rows, k) of one head, whichever way it was exported."""
    if head.ndim == 3:
        return head
    k = head.shape[-1]
    interleaved = head.reshape(-1, batch, ANCHORS, k)
    return interleaved.transpose(1, 0, 2, 3).reshape(batch, -1, k)


def _decode(
    centres: NDArray[np.float32],
    scores: NDArray[np.float32],
    distances: NDArray[np.float32],
    offsets: NDArray[np.float32],
) -> Detections:
    boxes = np.concatenate([centres - distances[:, :2], centres + distances[:, 2:]], axis=1)
    landmarks = centres[:, None, :] + offsets.reshape(-1, 5, 2)
    return Detections(boxes, scores, landmarks)


@lru_cache(maxsize=64)
def _centres(rows: int, columns: int, stride: int) -> NDArray[np.float32]:
    """(rows * columns * ANCHORS, 2) x, y of the positions that a feature map predicts from."""
    grid = np.mgrid[:rows, :columns][::-1].reshape(2, -1).T * stride
    return np.repeat(grid, ANCHORS, axis=0).astype(np.float32)
