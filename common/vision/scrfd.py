"""SCRFD detectors: canvases in, faces out.

Source: insightface model_zoo/scrfd.py, whose results are reproduced exactly.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from common.errors import PackUnavailable
from common.vision.batches import Unfit, padded, run_each, settled
from common.vision.detections import Detections
from common.vision.scrfd_graph import HEAD_WIDTHS, FixedGraph, resized_graph
from common.vision.scrfd_heads import ANCHORS, STRIDES, batch_first, decode_heads, numbered
from common.vision.types import BgrImage

logger = logging.getLogger(__name__)

_SAME = 0.01
"""Share of the difference between two canvases by which a canvas's results in a batch may differ
from those it has alone: rounding, not another canvas."""


class Scrfd:
    """One detector on one size of canvas, one by one or in batches of some sizes."""

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        side: int,
        *batched: onnxruntime.InferenceSession,
    ) -> None:
        """Take a session of `resized_graph` and check that it is sound.

        batched: the same with larger batches, checked to give what canvases give one by one.
        Raises FixedGraph if one of them does not give the heads of an SCRFD with landmarks.
        """
        self.side = side
        self._sessions = {1: session}
        blank = np.zeros((side, side, 3), dtype=np.uint8)
        rows = [(side // stride) ** 2 * ANCHORS for stride in STRIDES]
        expected = [count * width for width in HEAD_WIDTHS for count in rows]
        if [head.size for head in self._checked_heads([blank], 1)] != expected:
            raise FixedGraph(f"the detector has other heads than an SCRFD at {side} pixels")
        for each in batched:
            batch = int(each.get_inputs()[0].shape[0])
            self._sessions[batch] = each
            self._compare_batch(batch)
        self.sizes = sorted(self._sessions)
        """Of the batches that it runs."""

    def detect(self, canvases: Sequence[BgrImage]) -> list[Detections]:
        """Detect the faces of square canvases, in canvas pixels, overlapping ones included.

        Raises Unfit if one of them cannot be.
        """
        return settled(self.detect_each(canvases))

    def detect_each(self, canvases: Sequence[BgrImage]) -> list[Detections | Unfit]:
        """As `detect`; what is no such canvas, or gives no numbers, fails alone."""
        return run_each(canvases, self.sizes, self._fits, self._detect_batch)

    def _fits(self, canvas: BgrImage) -> bool:
        return canvas.shape == (self.side, self.side, 3) and canvas.dtype == np.uint8

    def _detect_batch(self, canvases: Sequence[BgrImage], size: int) -> list[Detections | Unfit]:
        heads = self._heads(canvases, size)
        sound = numbered(heads, batch=size)
        found = decode_heads(heads, batch=size, side=self.side)[: len(canvases)]
        unfit = Unfit("the detector gives no numbers for this image")
        return [each if sound[i] else unfit for i, each in enumerate(found)]

    def _heads(self, canvases: Sequence[BgrImage], size: int) -> list[NDArray[np.float32]]:
        """Raw outputs for canvases, in a batch of that size."""
        session = self._sessions[size]
        feed = {session.get_inputs()[0].name: padded(np.stack(canvases), size)}
        heads: list[NDArray[np.float32]] = session.run(None, feed)
        return heads

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


def detector_at(model: Any, side: int, *batches: int) -> Scrfd:
    """One of insightface's detectors on canvases of `side` pixels.

    model: insightface's SCRFD, whose graph is given that size, with the same providers and options.
    batches: canvases of one inference, besides one; where the graph cannot be given these, canvases
    are run one by one, with a warning. Raises FixedGraph if it cannot be given the size,
    PackUnavailable if this is no SCRFD that gives landmarks.
    """
    if len(model.output_names) != len(STRIDES) * len(HEAD_WIDTHS):
        raise PackUnavailable(f"{model.model_file} is no SCRFD detector with landmarks.")
    session = _session_at(model, side, 1)
    single = Scrfd(session, side)
    try:
        more = [_session_at(model, side, batch) for batch in batches if batch > 1]
        return Scrfd(session, side, *more) if more else single
    except FixedGraph as error:
        text = f"{model.model_file} looks at one image at a time: {error}"
        logger.warning(text, extra={"action": "detector_not_batched"})
        return single


def _session_at(model: Any, side: int, batch: int) -> onnxruntime.InferenceSession:
    reference: onnxruntime.InferenceSession = model.session
    graph = resized_graph(Path(model.model_file), side, batch)
    try:
        return onnxruntime.InferenceSession(
            graph,
            sess_options=reference.get_session_options(),
            providers=reference.get_providers(),
            provider_options=list(reference.get_provider_options().values()),
        )
    except Exception as error:  # as above
        text = f"the detector cannot be given {batch} canvases of {side} pixels: {error}"
        raise FixedGraph(text) from error
