"""Faces of all sizes, by looking at one image at several scales."""

import logging
from collections.abc import Iterator
from itertools import islice
from typing import Any

from common.errors import PackUnavailable
from common.vision.detections import NOTHING, Detections, concatenate, merge, suppress
from common.vision.scrfd import Fitted, Scrfd, detector_at, fit, open_detector
from common.vision.scrfd_graph import FixedGraph
from common.vision.tiles import tiles
from common.vision.types import BgrImage, Detail

logger = logging.getLogger(__name__)

WHOLE_SIDE = 640
"""Canvas for the whole image: what SCRFD was trained on, and insightface's usual `det_size`."""
CLOSE_SIDE = 128
"""Canvas for faces that fill the image: see docs/decisions/0005-two-scale-detection.md."""
STRONG_SCORE = 0.6
"""From here on a face of the whole-image canvas stands, whatever the other looks say."""
_CLOSE_SHARE = 0.3
"""Longer side of a face, as a share of the canvas, from which on the close canvas is believed:
smaller ones are the whole-image canvas's own field."""


class FaceDetector:
    """Finds small, middling and frame-filling faces with one SCRFD."""

    def __init__(self, whole: Scrfd, close: Scrfd) -> None:
        """close: the same detector on a canvas of CLOSE_SIDE; or `whole` again, if its graph takes
        any size or no other: then the image is shrunk into a part of its canvas."""
        self._whole = whole
        self._close = close

    @classmethod
    def of(cls, model: Any, batch: int = 1, *, squares: bool = False) -> "FaceDetector":
        """Use one of insightface's detectors. Raises PackUnavailable if it is no fit SCRFD.

        batch: most canvases of one inference, where there are several to look at. squares: look at
        square canvases alone, which batches need, and devices, that prepare themselves for each
        shape.
        """
        if batch == 1 and not squares:
            try:
                whole = open_detector(model, WHOLE_SIDE)
                return cls(whole, whole)
            except FixedGraph as error:
                logger.info("%s looks at squares: %s", model.model_file, error)
        try:
            whole = detector_at(model, WHOLE_SIDE, batch)
        except FixedGraph as error:
            raise PackUnavailable(f"{model.model_file} cannot be used: {error}.") from error
        try:
            return cls(whole, detector_at(model, CLOSE_SIDE))
        except FixedGraph:
            return cls(whole, whole)

    def find(self, image: BgrImage, detail: Detail) -> Detections:
        """Find the faces of one image, each once, in image pixels.

        STANDARD looks at the image on two canvases; HIGH also at tiles of it, where they show
        more.
        """
        found = self._find_standard(image)
        if detail is Detail.STANDARD:
            return found
        return merge(found, concatenate([NOTHING, *self._on_tiles(image)]))

    def _on_tiles(self, image: BgrImage) -> Iterator[Detections]:
        rest = tiles(image, self._whole.side)
        while some := list(islice(rest, self._whole.batch)):
            found = self._whole.detect([tile.pixels for tile in some])
            for tile, seen in zip(some, found, strict=True):
                yield tile.to_image(suppress(seen))

    def _find_standard(self, image: BgrImage) -> Detections:
        fitted = fit(image, self._whole.side)
        whole = suppress(self._whole.detect([fitted.pixels])[0].moved(scale=fitted.scale))
        strong = whole.scores >= STRONG_SCORE
        weak = whole.take(~strong)
        return merge(whole.take(strong), concatenate([weak, self._find_close(fitted)]))

    def _find_close(self, fitted: Fitted) -> Detections:
        """Find large faces. Shrinks the fitted image again, which is cheaper than the image."""
        close = fit(fitted.pixels, CLOSE_SIDE, smooth=True)
        found = self._close.detect([close.pixels])[0]
        sides = (found.boxes[:, 2:] - found.boxes[:, :2]).max(axis=1)
        large = found.take(sides >= _CLOSE_SHARE * CLOSE_SIDE)
        return large.moved(scale=close.scale * fitted.scale)
