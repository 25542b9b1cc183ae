"""SCRFD detectors: canvases in, faces out.

Source: insightface model_zoo/scrfd.py, whose results are reproduced exactly.
"""

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from common.errors import PackUnavailable
from common.vision.batches import Unfit, padded, run_each, settled
from common.vision.faces.detections import Detections
from common.vision.images.canvas import fits, pad
from common.vision.onnx.edited_session import edited_session
from common.vision.onnx.scrfd_graph import HEAD_WIDTHS, FixedGraph, open_graph, resized_graph
from common.vision.onnx.scrfd_heads import ANCHORS, STRIDES, batch_first, decode_heads, numbered
from common.vision.types import BgrImage

logger = logging.getLogger(__name__)

_SAME = 0.01
"""Share of the difference between two canvases by which a canvas's results in a batch may differ
from those it has alone: rounding, not another canvas."""


class Scrfd:
    """One detector on canvases of up to one size, one by one or in batches of some sizes.

    A graph of open sides is given canvases as large as an image needs; another, which may take
    several in a batch, squares.
    """

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        side: int,
        *batched: onnxruntime.InferenceSession,
    ) -> None:
        """Take a session of `resized_graph` or `open_graph` and check that it is sound.

        side: of the largest canvas. batched: the same with larger batches, checked to give what
        canvases give one by one. Raises FixedGraph if one of them does not give the heads of an
        SCRFD with landmarks.
        """
        self.side = side
        self._sessions = {1: session}
        self._squares = all(isinstance(axis, int) for axis in session.get_inputs()[0].shape)
        self._check_heads((side, side))
        if not self._squares:
            self._check_heads((STRIDES[-1], side))
        for each in batched:
            batch = int(each.get_inputs()[0].shape[0])
            self._sessions[batch] = each
            self._compare_batch(batch)
        self.sizes = sorted(self._sessions)
        """Of the batches that it runs."""

    def detect(self, images: Sequence[BgrImage]) -> list[Detections]:
        """Detect the faces of images that fit the canvas, in their pixels, overlapping ones
        included.

        Raises Unfit if one of them cannot be.
        """
        return settled(self.detect_each(images))

    def detect_each(self, images: Sequence[BgrImage]) -> list[Detections | Unfit]:
        """As `detect`; what does not fit the canvas, or gives no numbers, fails alone."""
        return run_each(
            images, self.sizes, lambda image: fits(image, self.side), self._detect_batch
        )

    def _sides(self, image: BgrImage) -> tuple[int, int]:
        """Height and width of the canvas for an image."""
        if self._squares:
            return self.side, self.side
        height, width = (-(-length // STRIDES[-1]) * STRIDES[-1] for length in image.shape[:2])
        return height, width

    def _detect_batch(self, images: Sequence[BgrImage], size: int) -> list[Detections | Unfit]:
        height, width = self._sides(images[0])
        heads = self._heads([pad(image, height, width) for image in images], size)
        sound = numbered(heads, batch=size)
        found = decode_heads(heads, batch=size, height=height, width=width)[: len(images)]
        unfit = Unfit("the detector gives no numbers for this image")
        return [each if sound[i] else unfit for i, each in enumerate(found)]

    def _heads(self, canvases: Sequence[BgrImage], size: int) -> list[NDArray[np.float32]]:
        """Raw outputs for canvases, in a batch of that size."""
        session = self._sessions[size]
        feed = {session.get_inputs()[0].name: padded(np.stack(canvases), size)}
        heads: list[NDArray[np.float32]] = session.run(None, feed)
        return heads

    def _check_heads(self, sides: tuple[int, int]) -> None:
        """Check that canvases of that height and width have as many predictions as they must."""
        rows = [math.prod(side // stride for side in sides) * ANCHORS for stride in STRIDES]
        expected = [count * width for width in HEAD_WIDTHS for count in rows]
        heads = self._checked_heads([np.zeros((*sides, 3), np.uint8)], 1)
        if [head.size for head in heads] != expected:
            raise FixedGraph(f"the detector has other heads than an SCRFD at {self.side} pixels")

    def _checked_heads(self, canvases: Sequence[BgrImage], size: int) -> list[NDArray[np.float32]]:
        try:
            return self._heads(canvases, size)
        except Exception as error:  # onnxruntime raises classes of its own, without a common root
            raise FixedGraph(f"the detector does not run at {self.side} pixels: {error}") from error

    def _compare_batch(self, batch: int) -> None:
        """Check that three canvases have in a batch what they have alone, wherever they are."""
        distinct = _random_canvases(self.side, min(batch, 3))
        last = batch - 1
        places = {0: 0, last // 2: len(distinct) - 2, last: len(distinct) - 1}
        in_batch = [distinct[places.get(place, 0)] for place in range(batch)]
        together = self._checked_heads(in_batch, batch)
        alone = [self._checked_heads([canvas], 1) for canvas in distinct]
        for level, head in enumerate(together):
            if head.shape[:1] != (batch,):
                raise FixedGraph("the detector does not give its heads by canvas")
            singles = [batch_first(each[level], 1)[0] for each in alone]
            bound = _SAME * np.abs(singles[0] - singles[-1]).max() + 1e-4
            for place, which in places.items():
                if not np.abs(head[place] - singles[which]).max() <= bound:
                    raise FixedGraph("canvases have other results in a batch than alone")


def _random_canvases(side: int, count: int) -> list[BgrImage]:
    """Canvases of soft coloured patches, each of its own."""
    rng = np.random.default_rng(7)
    patches = rng.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    return [np.asarray(cv2.resize(each, (side, side)), np.uint8) for each in patches]


def open_detector(model: Any, side: int) -> Scrfd:
    """One of insightface's detectors on canvases of any sides up to `side` pixels, one by one.

    As `detector_at`; raises FixedGraph if the sides of its input cannot be left open.
    """
    _require_landmarks(model)
    return Scrfd(_session(model, open_graph(Path(model.model_file))), side)


def detector_at(model: Any, side: int, *batches: int) -> Scrfd:
    """One of insightface's detectors on square canvases of `side` pixels.

    model: insightface's SCRFD, whose graph is given that size, with the same providers and options.
    batches: canvases of one inference, besides one; where the graph cannot be given these, canvases
    are run one by one, with a warning. Raises FixedGraph if it cannot be given the size,
    PackUnavailable if this is no SCRFD that gives landmarks.
    """
    _require_landmarks(model)
    session = _session(model, resized_graph(Path(model.model_file), side))
    single = Scrfd(session, side)
    try:
        graphs = (resized_graph(Path(model.model_file), side, each) for each in batches if each > 1)
        more = [_session(model, graph) for graph in graphs]
        return Scrfd(session, side, *more) if more else single
    except FixedGraph as error:
        text = f"{model.model_file} looks at one image at a time: {error}"
        logger.warning(text, extra={"action": "detector_not_batched"})
        return single


def _require_landmarks(model: Any) -> None:
    if len(model.output_names) != len(STRIDES) * len(HEAD_WIDTHS):
        raise PackUnavailable(f"{model.model_file} is no SCRFD detector with landmarks.")


def _session(model: Any, graph: bytes) -> onnxruntime.InferenceSession:
    try:
        return edited_session(model, graph)
    except Exception as error:  # as above
        raise FixedGraph(f"the detector cannot be given another size: {error}") from error
