"""The Protocol that each engine is behind."""

from collections.abc import Callable
from typing import Protocol

from common.vision.images.picture import Picture
from common.vision.types import Analysis, AnalyzeOptions, Pack


class NobodyWaits(Exception):
    """Nobody waits for the image any more."""


Checkpoint = Callable[[], None]
"""Called between the stages of an image; raises NobodyWaits to have it given up."""


def go_on() -> None:
    """The checkpoint of images that somebody waits for."""


class Engine(Protocol):
    """Turns images into faces. Lives in one worker and is called by one thread at a time."""

    @property
    def pack(self) -> Pack: ...

    @property
    def provider(self) -> str:
        """What it runs on: CPU, CUDA, Tensorrt."""
        ...

    def analyze(
        self, picture: Picture, options: AnalyzeOptions, checkpoint: Checkpoint = go_on
    ) -> Analysis:
        """Find, measure and embed the faces of one picture.

        Returned faces are ordered by box area, largest first, and in pixels of the whole picture.
        `timings` has detect_ms and embed_ms, without the picture's decoding. Raises as
        Picture.view.
        """
        ...
