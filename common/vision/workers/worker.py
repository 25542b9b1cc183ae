"""A worker process: turns one image after the other into an analysis, by an engine of its own or
by models that it shares with the other workers."""

import os
import traceback
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection

from common.config import EngineSettings, ImageLimits
from common.errors import InvalidImage
from common.vision.engine import Checkpoint, Engine, NobodyWaits, go_on
from common.vision.workers.child import Inbox, attempt
from common.vision.workers.confinement import allow_cpu, confine
from common.vision.workers.device_line import DeviceLine
from common.vision.workers.messages import Answer, Failure, Loaded, Setup, Task, Withdrawn


def main() -> None:
    """Serve until told to stop."""
    inbox = Inbox()
    setup = inbox.get()
    if not isinstance(setup, Setup):
        return
    os.nice(setup.nice)
    line = DeviceLine() if setup.shared else None
    if line and isinstance(connection := inbox.get(), Connection):
        line.renew(connection)
    engine = attempt(lambda: _load(setup.engine, line))
    if isinstance(engine, Failure):
        inbox.server.send(engine)
        return
    confine(setup.engine.worker_memory_bytes)
    inbox.server.send(Loaded(engine.pack, engine.provider))
    most_cpu_s = setup.engine.image_timeout_s * (setup.engine.threads or 1)
    while message := inbox.get():
        if isinstance(message, Task):
            if line:
                line.urgent = message.urgent
            allow_cpu(most_cpu_s)
            checkpoint = partial(_checkpoint, inbox, message.number)
            inbox.server.send(_answer(engine, setup.limits, message, checkpoint))
        elif line and isinstance(message, Connection):
            line.renew(message)


def _checkpoint(inbox: Inbox, number: int) -> None:
    """The checkpoint of a task."""
    if inbox.cancelled == number:
        raise NobodyWaits


def _load(settings: EngineSettings, line: DeviceLine | None = None) -> Engine:
    """The engine with its threads; cv2's own are turned off."""
    import cv2

    from common.vision.engines import load_engine, remote_engine

    cv2.setNumThreads(1)
    if line:
        return remote_engine(line)
    return load_engine(settings, threads=settings.threads or 1)


def _answer(
    engine: Engine, limits: ImageLimits, task: Task, checkpoint: Checkpoint = go_on
) -> Answer:
    """Check, decode and analyse one image, or give it up on the way.

    Raises MemoryError: of how much it has left, a worker knows nothing, so it had better end.
    """
    from common.vision.images.picture import Picture

    try:
        picture = Picture.open(task.content, limits, max_bytes=task.max_bytes)
        analysis = engine.analyze(picture, task.options, checkpoint)
    except NobodyWaits:
        return Withdrawn()
    except InvalidImage as error:
        return error
    except MemoryError:
        raise
    except Exception as error:
        return Failure(str(error), traceback.format_exc())
    timings = replace(analysis.timings, decode_ms=picture.decode_s * 1000)
    return replace(analysis, timings=timings)
