"""The device process: alone holds the models, and runs them on what all workers send.

Workers keep what belongs to one image and send canvases and aligned faces; so a decoder's crash
costs one photo, no whole image crosses a process, and batches form over all their images.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from common.vision.faces.align import CROP_SIDE
from common.vision.models import Models
from common.vision.types import BgrImage
from common.vision.workers.batcher import Batcher
from common.vision.workers.child import Inbox, attempt
from common.vision.workers.device_line import Call, Model, Offer, Shape, receive_images
from common.vision.workers.messages import Failure, Loaded, Setup
from common.vision.workers.raw_bytes import Line
from common.vision.workers.tally import Tally
from common.vision.workers.workload import DeviceLoad

logger = logging.getLogger(__name__)

TELL_S = 0.25
"""Pause between two messages on the load."""


def main() -> None:
    """Serve until told to stop."""
    inbox = Inbox()
    setup = inbox.get()
    if not isinstance(setup, Setup):
        return
    models = attempt(lambda: _load(setup))
    if isinstance(models, Failure):
        inbox.server.send(models)
        return
    device = Device(models)
    device.start()
    inbox.server.send(Loaded(models.pack, models.provider))
    # Half of it, so that the photos which wait for a stuck device find another in their time.
    stuck_s = setup.engine.image_timeout_s / 2
    start_thread(lambda: tell(device.tally, inbox.server.send, stuck_s))
    while isinstance(line := inbox.get(), Connection):
        threading.Thread(target=device.serve, args=(line,), daemon=True).start()
    os._exit(0)  # whatever still runs; the sessions need no tidying up


def _load(setup: Setup) -> Models:
    import cv2

    from common.vision.onnx.models import load_models

    cv2.setNumThreads(1)
    return load_models(setup.engine, threads=setup.engine.threads or 1, shared=True)


def tell(tally: Tally, send: Callable[[DeviceLoad], None], stuck_s: float) -> None:
    """Send the load where it has changed; end the process where a run takes longer than
    `stuck_s`."""
    while True:
        if tally.changed.wait(TELL_S):
            tally.changed.clear()
            send(tally.load)
            time.sleep(TELL_S)
        if tally.longest_s > stuck_s:
            logger.error("a run has taken %.0f s: the device is stuck", tally.longest_s)
            os._exit(1)


class Device:
    """Batchers of a pack's models."""

    def __init__(self, models: Models) -> None:
        self.tally = Tally()
        shared = {
            Model.WHOLE: (models.whole.side, models.whole.sizes, models.whole.detect_each),
            Model.CLOSE: (models.close.side, models.close.sizes, models.close.detect_each),
            Model.FACES: (CROP_SIDE, models.recogniser.sizes, models.recogniser.embed_each),
        }
        if models.close is models.whole:
            del shared[Model.CLOSE]
        self._batchers: dict[Model, Batcher[Any, Any]] = {
            model: Batcher(sizes, run, _blank(side), partial(self.tally.run, model.value))
            for model, (side, sizes, run) in shared.items()
        }
        shapes = {model: Shape(side, tuple(sizes)) for model, (side, sizes, _) in shared.items()}
        self._offer = Offer(models.pack, models.provider, shapes)

    def start(self) -> None:
        """Begin to run batches: each model in a thread of its own, so that none starves."""
        for batcher in self._batchers.values():
            start_thread(batcher.serve)

    def serve(self, line: Line) -> None:
        """Answer one worker's calls until it goes."""
        try:
            line.send(self._offer)
            while True:
                call: Call = line.recv()
                side = self._offer.shapes[call.model].side
                images = receive_images(line, call.count, side)
                line.send(self._batchers[call.model].ask(images, urgent=call.urgent))
        except (EOFError, OSError):
            pass
        except Exception:
            logger.exception("a worker sends what cannot be read")
        finally:
            line.close()


def _blank(side: int) -> BgrImage:
    return np.zeros((side, side, 3), np.uint8)


def start_thread(serve: Callable[[], None]) -> None:
    """A thread without which the process is of no use: it ends with it."""

    def serve_or_end() -> None:
        try:
            serve()
        except Exception:
            logger.exception("the device process gives up")
            os._exit(1)

    threading.Thread(target=serve_or_end, daemon=True).start()
