"""What an engine asks its models, wherever these run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from common.vision.batches import Unfit
from common.vision.faces.detections import Detections
from common.vision.types import BgrImage, EmbeddingVector, Pack


class Detector(Protocol):
    """One detector on canvases of up to one size."""

    @property
    def side(self) -> int:
        """Of its largest canvas, in pixels."""
        ...

    @property
    def sizes(self) -> Sequence[int]:
        """Of the batches that it runs, ascending."""
        ...

    def detect_each(self, images: Sequence[BgrImage]) -> Sequence[Detections | Unfit]:
        """Detect the faces of images that fit the canvas, in their pixels, overlapping ones
        included; they are padded here."""
        ...


class Recogniser(Protocol):
    """Embeds aligned faces."""

    @property
    def sizes(self) -> Sequence[int]:
        """Of the batches that it runs, ascending."""
        ...

    def embed_each(self, crops: Sequence[BgrImage]) -> Sequence[EmbeddingVector | Unfit]:
        """Embed aligned faces, each (112, 112, 3) BGR. Gives L2-normalised (D,) float32."""
        ...


@dataclass(frozen=True, slots=True)
class Models:
    """A pack's models, loaded. close: sees faces that fill the image; `whole` again, if the pack's
    detector takes any size or no other: then the image is shrunk into a part of its canvas.
    """

    pack: Pack
    provider: str
    whole: Detector
    close: Detector
    recogniser: Recogniser
