"""Faces of all sizes, by looking at one image at several scales."""

from collections.abc import Iterator
from itertools import islice

from common.vision.batches import settled
from common.vision.engine import Checkpoint, go_on
from common.vision.faces.detections import NOTHING, Detections, concatenate, merge, suppress
from common.vision.images.canvas import Fitted, fit
from common.vision.images.tiles import tiles
from common.vision.models import Detector
from common.vision.types import BgrImage, Detail

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

    def __init__(self, whole: Detector, close: Detector) -> None:
        """close: as in Models."""
        self._whole = whole
        self._close = close

    def find(self, image: BgrImage, detail: Detail, checkpoint: Checkpoint = go_on) -> Detections:
        """Find the faces of one image, each once, in image pixels.

        STANDARD looks at the image on two canvases; HIGH also at tiles of it, where they show
        more.
        """
        found = self._find_standard(image)
        if detail is Detail.STANDARD:
            return found
        return merge(found, concatenate([NOTHING, *self._on_tiles(image, checkpoint)]))

    def _on_tiles(self, image: BgrImage, checkpoint: Checkpoint) -> Iterator[Detections]:
        rest = tiles(image, self._whole.side)
        while some := list(islice(rest, self._whole.sizes[-1])):
            checkpoint()
            found = settled(self._whole.detect_each([tile.pixels for tile in some]))
            for tile, seen in zip(some, found, strict=True):
                yield tile.to_image(suppress(seen))

    def _find_standard(self, image: BgrImage) -> Detections:
        fitted = fit(image, self._whole.side)
        (seen,) = settled(self._whole.detect_each([fitted.pixels]))
        whole = suppress(seen.moved(scale=fitted.scale))
        strong = whole.scores >= STRONG_SCORE
        weak = whole.take(~strong)
        return merge(whole.take(strong), concatenate([weak, self._find_close(fitted)]))

    def _find_close(self, fitted: Fitted) -> Detections:
        """Find large faces. Shrinks the fitted image again, which is cheaper than the image."""
        close = fit(fitted.pixels, CLOSE_SIDE, smooth=True)
        (found,) = settled(self._close.detect_each([close.pixels]))
        sides = (found.boxes[:, 2:] - found.boxes[:, :2]).max(axis=1)
        large = found.take(sides >= _CLOSE_SHARE * CLOSE_SIDE)
        return large.moved(scale=close.scale * fitted.scale)
