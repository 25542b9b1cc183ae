"""SCRFD detectors: one canvas in, faces out.

Source: insightface model_zoo/scrfd.py, whose results are reproduced exactly.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from common.errors import PackUnavailable
from common.vision.detections import Detections, concatenate
from common.vision.scrfd_graph import FixedGraph, resized_graph
from common.vision.types import BgrImage

STRIDES = (8, 16, 32)
ANCHORS = 2
"""Predictions at each position of a feature map."""
MIN_SCORE = 0.5
"""Faces of smaller score are not reported: insightface's own threshold."""
_MEAN, _STD = 127.5, 128.0


@dataclass(frozen=True, slots=True)
class Canvas:
    """An image fitted into the upper left of a black square.

    pixels: (S, S, 3) BGR, of which `height` x `width` are image. scale: canvas pixels per image
    pixel.
    """

    pixels: BgrImage
    scale: float
    height: int
    width: int

    @property
    def filled(self) -> BgrImage:
        """The part that is image."""
        return self.pixels[: self.height, : self.width]


def letterbox(image: BgrImage, side: int, *, within: int = 0, smooth: bool = False) -> Canvas:
    """Fit an image into a black square of `side` pixels.

    within: fit it into the square's upper left part of that side instead. smooth: average the
    pixels that fall together; else interpolate between neighbours, as insightface does.
    """
    fit = within or side
    rows, columns = image.shape[:2]
    if rows > columns:
        height, width = fit, max(int(fit / (rows / columns)), 1)
    else:
        height, width = max(int(fit * (rows / columns)), 1), fit
    shrinks = smooth and height < rows
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    fitted = np.asarray(cv2.resize(image, (width, height), interpolation=interpolation), np.uint8)
    return Canvas(pad(fitted, side), height / rows, height, width)


def pad(image: BgrImage, side: int) -> BgrImage:
    """Lay an image of at most `side` x `side` pixels into the upper left of a black square."""
    pixels = np.zeros((side, side, 3), dtype=np.uint8)
    pixels[: image.shape[0], : image.shape[1]] = image
    return pixels


class Scrfd:
    """One detector on one size of canvas."""

    def __init__(self, session: onnxruntime.InferenceSession, side: int) -> None:
        """Take a session whose input is (1, 3, side, side) and check that it is sound.

        Raises FixedGraph if it does not give the heads of an SCRFD with landmarks.
        """
        self.side = side
        self._session = session
        self._input = session.get_inputs()[0].name
        self._outputs = [output.name for output in session.get_outputs()]
        rows = [(side // stride) ** 2 * ANCHORS for stride in STRIDES]
        expected = [count * width for width in (1, 4, 10) for count in rows]
        blank = np.zeros((1, 3, side, side), dtype=np.float32)
        try:
            sizes = [head.size for head in session.run(self._outputs, {self._input: blank})]
        except Exception as error:  # onnxruntime raises classes of its own, without a common root
            raise FixedGraph(f"the detector does not run at {side} pixels: {error}") from error
        if sizes != expected:
            raise FixedGraph(f"the detector has other heads than an SCRFD at {side} pixels")

    def detect(self, canvases: Sequence[BgrImage]) -> list[Detections]:
        """Detect the faces of square canvases, in canvas pixels, overlapping ones included."""
        return [found for canvas in canvases for found in self._detect_batch([canvas])]

    def _detect_batch(self, canvases: Sequence[BgrImage]) -> list[Detections]:
        size = (self.side, self.side)
        mean = (_MEAN, _MEAN, _MEAN)
        blob = cv2.dnn.blobFromImages(list(canvases), 1.0 / _STD, size, mean, swapRB=True)
        heads = self._session.run(self._outputs, {self._input: blob})
        return decode_heads(heads, batch=len(canvases), side=self.side)


def decode_heads(
    heads: Sequence[NDArray[np.float32]], *, batch: int, side: int
) -> list[Detections]:
    """Turn a detector's raw outputs into faces of at least MIN_SCORE, in canvas pixels.

    heads: scores, boxes, landmarks, each for strides 8, 16, 32; as (batch, rows, k), or as
    (rows, k) with the batch between position and anchor, as the official packs export it. Rows
    run over y, x, anchor. Boxes and landmarks are distances from the position, in strides.
    """
    found: list[list[Detections]] = [[] for _ in range(batch)]
    for level, stride in enumerate(STRIDES):
        centres = _centres(side // stride, stride)
        scores, boxes, landmarks = (
            _batch_first(heads[level + kind * len(STRIDES)], batch, len(centres) // ANCHORS)
            for kind in range(3)
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


def _decode(
    centres: NDArray[np.float32],
    scores: NDArray[np.float32],
    distances: NDArray[np.float32],
    offsets: NDArray[np.float32],
) -> Detections:
    boxes = np.concatenate([centres - distances[:, :2], centres + distances[:, 2:]], axis=1)
    landmarks = centres[:, None, :] + offsets.reshape(-1, 5, 2)
    return Detections(boxes, scores, landmarks)


def _batch_first(head: NDArray[np.float32], batch: int, positions: int) -> NDArray[np.float32]:
    """(batch, rows, k) of one head, whichever way it was exported."""
    if head.ndim == 3:
        return head
    k = head.shape[-1]
    interleaved = head.reshape(positions, batch, ANCHORS, k)
    return interleaved.transpose(1, 0, 2, 3).reshape(batch, positions * ANCHORS, k)


@lru_cache(maxsize=16)
def _centres(cells: int, stride: int) -> NDArray[np.float32]:
    """(cells * cells * ANCHORS, 2) x, y of the positions that a feature map predicts from."""
    grid = np.mgrid[:cells, :cells][::-1].reshape(2, -1).T * stride
    return np.repeat(grid, ANCHORS, axis=0).astype(np.float32)


def detector_at(model: Any, side: int) -> Scrfd:
    """One of insightface's detectors on a canvas of `side` pixels.

    model: insightface's SCRFD. Its own session is used where the graph is exported at that size;
    else the graph is given that size, with the same providers and options. Raises FixedGraph if
    it cannot be, PackUnavailable if this is no SCRFD that gives landmarks.
    """
    if len(model.output_names) != len(STRIDES) * 3:
        raise PackUnavailable(f"{model.model_file} is no SCRFD detector with landmarks.")
    if model.static_input_size == (side, side):
        return Scrfd(model.session, side)
    reference: onnxruntime.InferenceSession = model.session
    try:
        session = onnxruntime.InferenceSession(
            resized_graph(Path(model.model_file), side),
            sess_options=reference.get_session_options(),
            providers=reference.get_providers(),
            provider_options=list(reference.get_provider_options().values()),
        )
    except FixedGraph:
        raise
    except Exception as error:  # as above
        raise FixedGraph(f"the detector cannot be given {side} pixels: {error}") from error
    return Scrfd(session, side)
