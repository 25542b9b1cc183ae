"""The connection of one worker with the device process: calls and pixels there, results back."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from common.vision.types import BgrImage, Pack
from common.vision.workers.raw_bytes import Line, receive_into, send_bytes


class Model(Enum):
    """The models that are shared."""

    WHOLE = "detector"
    CLOSE = "close_detector"
    FACES = "recogniser"


@dataclass(frozen=True, slots=True)
class Shape:
    """What a model takes. side: of its square images, in pixels. sizes: as Detector.sizes."""

    side: int
    sizes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Offer:
    """First message of the device process. Without CLOSE, close canvases go to WHOLE."""

    pack: Pack
    provider: str
    shapes: Mapping[Model, Shape]


@dataclass(frozen=True, slots=True)
class Call:
    """Announces images, each (S, S, 3) uint8; answered by a list with a result or an Unfit for
    each."""

    model: Model
    count: int
    urgent: bool


class DeviceGone(ConnectionError):
    """The device process has died; the next image may find another."""


class DeviceLine:
    """The worker's end."""

    def __init__(self) -> None:
        self._connection: Line | None = None
        self._offer: Offer | None = None
        self.urgent = False
        """Whether calls are to overtake others."""

    @property
    def offer(self) -> Offer:
        """What the device process has. Raises DeviceGone if it has never told."""
        if self._offer is None:
            raise DeviceGone("the device process has died")
        return self._offer

    def renew(self, connection: Line) -> None:
        """Go on with another device process."""
        if self._connection:
            self._connection.close()
        self._connection = connection
        # If that one has died too, the next call tells.
        with suppress(EOFError, OSError):
            self._offer = connection.recv()

    def call(self, model: Model, images: Sequence[BgrImage]) -> Sequence[Any]:
        """A result or an Unfit for each image. Raises DeviceGone."""
        assert self._connection is not None
        try:
            self._connection.send(Call(model, len(images), self.urgent))
            for image in images:
                send_bytes(self._connection, np.ascontiguousarray(image).data)
            results: Sequence[Any] = self._connection.recv()
        except (EOFError, OSError):
            raise DeviceGone("the device process has died") from None
        return results


def receive_images(connection: Line, count: int, side: int) -> list[BgrImage]:
    """The images after a Call. Raises EOFError, OSError when the worker is gone."""
    images = np.empty((count, side, side, 3), np.uint8)
    receive_into(connection, images.data)
    return list(images)
