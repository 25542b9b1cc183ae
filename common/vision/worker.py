"""A worker process: loads its own engine, then turns one image after the other into an analysis.

Its only argument is the file descriptor of its connection to the server. It is not started through
multiprocessing, whose spawn would import the server's main module, with all of gRPC, into each
worker.
"""

import os
import queue
import signal
import sys
import threading
import time
import traceback
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from typing import TypeAlias

from common.config import EngineSettings, ImageLimits
from common.errors import InvalidImage, PackUnavailable
from common.vision.types import Analysis, AnalyzeOptions, Engine, Pack


@dataclass(frozen=True, slots=True)
class Setup:
    """First message to a worker; answered by a Loaded or a Failure.

    nice: by how much it gives way to other processes, 0 to 19.
    """

    engine: EngineSettings
    limits: ImageLimits
    nice: int = 0


@dataclass(frozen=True, slots=True)
class Loaded:
    """An engine is there. provider: what it runs on."""

    pack: Pack
    provider: str


@dataclass(frozen=True, slots=True)
class Task:
    """One image to analyse; answered by an Analysis, an InvalidImage or a Failure."""

    content: bytes
    options: AnalyzeOptions
    max_bytes: int


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong inside the worker: one line for people, and where."""

    message: str
    traceback: str


Message = Setup | Task | None
"""What a worker is sent; None asks it to leave."""
Answer = Loaded | Analysis | InvalidImage | Failure
_Inbox = queue.SimpleQueue[Message]
_Line: TypeAlias = "Connection[Answer, Message]"


def main() -> None:
    """Serve until told to stop (None); end at once when the server is gone, whatever is going
    on."""
    # A Ctrl-C or a service manager's stop reaches the whole group; the server finishes its images
    # first.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    connection: _Line = Connection(int(sys.argv[1]))
    inbox: _Inbox = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(connection, inbox), daemon=True).start()
    setup = inbox.get()
    if not isinstance(setup, Setup):
        return
    os.nice(setup.nice)
    engine = _load(setup.engine)
    if isinstance(engine, Failure):
        connection.send(engine)
        return
    connection.send(Loaded(engine.pack, engine.provider))
    while isinstance(task := inbox.get(), Task):
        connection.send(_answer(engine, setup.limits, task))


def _receive(connection: _Line, inbox: _Inbox) -> None:
    """Pass messages on; a thread of its own, so that the server's death ends a busy worker too."""
    while True:
        try:
            message = connection.recv()
        except (EOFError, OSError):
            os._exit(0)
        inbox.put(message)


def _load(settings: EngineSettings) -> Engine | Failure:
    """The engine with its threads; cv2's own are turned off."""
    import cv2

    from common.vision.engines import load_engine

    cv2.setNumThreads(1)
    try:
        return load_engine(settings, threads=settings.threads or 1)
    except PackUnavailable as error:
        return Failure(error.message, "")
    except Exception as error:
        return Failure(f"The engine cannot be loaded: {error}", traceback.format_exc())


def _answer(engine: Engine, limits: ImageLimits, task: Task) -> Answer:
    """Check, decode and analyse one image."""
    from common.vision.image import decode, read_header

    try:
        started = time.perf_counter()
        header = read_header(task.content, limits, max_bytes=task.max_bytes)
        image = decode(task.content, header)
        decode_ms = (time.perf_counter() - started) * 1000
        analysis = engine.analyze(image, task.options)
    except InvalidImage as error:
        return error
    except Exception as error:
        return Failure(str(error), traceback.format_exc())
    return replace(analysis, timings=replace(analysis.timings, decode_ms=decode_ms))
