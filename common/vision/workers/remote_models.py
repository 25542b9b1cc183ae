"""A pack's models in the device process, as a worker asks them."""

from collections.abc import Sequence
from typing import Any

from common.vision.batches import Unfit, run_each
from common.vision.faces.detections import Detections
from common.vision.images.canvas import fits, pad
from common.vision.models import Models
from common.vision.types import BgrImage, EmbeddingVector
from common.vision.workers.device_line import DeviceLine, Model


class Remote:
    """One model. What it is asked for goes there in portions of its largest batch, so that a crowd
    holds nobody up."""

    def __init__(self, line: DeviceLine, model: Model) -> None:
        self._line = line
        self._model = model
        shape = line.offer.shapes[model]
        self.side = shape.side
        self.sizes = shape.sizes

    def detect_each(self, images: Sequence[BgrImage]) -> Sequence[Detections | Unfit]:
        """As Detector.detect_each."""
        return run_each(images, self.sizes[-1:], lambda image: fits(image, self.side), self._run)

    def embed_each(self, crops: Sequence[BgrImage]) -> Sequence[EmbeddingVector | Unfit]:
        """As Recogniser.embed_each."""
        return run_each(crops, self.sizes[-1:], self._is_crop, self._run)

    def _is_crop(self, image: BgrImage) -> bool:
        return image.shape == (self.side, self.side, 3) and image.dtype == "u1"

    def _run(self, images: Sequence[BgrImage], _: int) -> Sequence[Any]:
        squares = [pad(image, self.side, self.side) for image in images]
        return self._line.call(self._model, squares)


def remote_models(line: DeviceLine) -> Models:
    """What the device process has loaded. Raises DeviceGone."""
    whole, faces = Remote(line, Model.WHOLE), Remote(line, Model.FACES)
    close = Remote(line, Model.CLOSE) if Model.CLOSE in line.offer.shapes else whole
    return Models(line.offer.pack, line.offer.provider, whole, close, faces)
