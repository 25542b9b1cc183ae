"""The server's end of one worker process."""

import logging
import os
import socket
import subprocess
import sys
from multiprocessing.connection import Connection

from common.errors import InvalidImage, PackUnavailable, ProcessingFailed
from common.vision.types import Analysis
from common.vision.worker import Answer, Failure, Loaded, Message, Setup, Task

logger = logging.getLogger(__name__)

# Not with -m: the classes of the messages would be those of `__main__` there.
ENTRY = "from common.vision.worker import main; main()"
END_GRACE_S = 1.0
"""How long a process that broke its connection may take to end by itself."""
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class WorkerProcess:
    """A running worker. All methods but `kill` may block; one thread at a time asks it."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", ENTRY, str(theirs.fileno())],
                env={**os.environ, **ONE_THREAD, "PYTHONPATH": os.pathsep.join(sys.path)},
                stdin=subprocess.DEVNULL,
                # What a library prints while it loads must not get into the server's own output.
                stdout=sys.__stderr__.fileno() if sys.__stderr__ else subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                # A Ctrl-C in the terminal is for the server, which lets its images finish first.
                process_group=0,
            )
        self._connection: Connection[Message, Answer] = Connection(ours.detach())

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def load(self, setup: Setup) -> Loaded:
        """Have the engine loaded. Raises PackUnavailable."""
        try:
            answer = self._exchange(setup)
        except (EOFError, OSError):
            raise PackUnavailable(f"A worker died loading the engine ({self._end()}).") from None
        if isinstance(answer, Loaded):
            return answer
        if isinstance(answer, Failure):
            if answer.traceback:
                logger.error("engine load failed\n%s", answer.traceback)
            raise PackUnavailable(answer.message)
        raise AssertionError(answer)

    def analyze(self, task: Task) -> Analysis:
        """One image's analysis. Raises InvalidImage, ProcessingFailed; afterwards see `alive`."""
        try:
            answer = self._exchange(task)
        except (EOFError, OSError):
            logger.error("worker died", extra={"action": "worker_died", "exit": self._end()})
            raise ProcessingFailed(
                "This image made its worker crash or took too long; nothing was stored."
            ) from None
        if isinstance(answer, Analysis):
            return answer
        if isinstance(answer, InvalidImage):
            raise answer
        if isinstance(answer, Failure):
            logger.error("engine failed\n%s", answer.traceback, extra={"action": "engine_failed"})
            raise ProcessingFailed("The engine failed on this image; nothing was stored.")
        raise AssertionError(answer)

    def kill(self) -> None:
        """End the process now; whoever waits for its answer gets the error."""
        self._process.kill()

    def stop(self, grace_s: float) -> None:
        """Let the process finish its image and leave; kill it after `grace_s`."""
        try:
            self._connection.send(None)
            self._process.wait(grace_s)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Kill the process if it still runs and free what it held. No thread may be asking it."""
        self._end()
        self._connection.close()

    def _exchange(self, message: Setup | Task) -> Answer:
        self._connection.send(message)
        return self._connection.recv()

    def _end(self) -> str:
        """How the process ended, once it is certain that it has."""
        try:
            code = self._process.wait(END_GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        return f"signal {-code}" if code < 0 else f"exit code {code}"
