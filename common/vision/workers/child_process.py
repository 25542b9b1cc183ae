"""The server's end of one child process."""

import logging
import os
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection

from common.errors import PackUnavailable
from common.vision.workers.descriptors import HasDescriptor, send_descriptor
from common.vision.workers.messages import Answer, Failure, Loaded, Message, NewLine, Setup, Task
from common.vision.workers.raw_bytes import send_bytes

logger = logging.getLogger(__name__)

# Not with -m: the classes of the messages would be those of `__main__` there.
ENTRY = "from common.vision.workers.{module} import main; main()"
END_GRACE_S = 1.0
"""How long a process that broke its connection may take to end by itself."""
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class ChildProcess:
    """A running child. All methods but `kill` may block."""

    def __init__(self, module: str, setup: Setup) -> None:
        """module: of this package; its `main` is run."""
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", ENTRY.format(module=module), str(theirs.fileno())],
                env={**os.environ, **ONE_THREAD, "PYTHONPATH": os.pathsep.join(sys.path)},
                stdin=subprocess.DEVNULL,
                # What a library prints while it loads must not get into the server's own output.
                stdout=sys.__stderr__.fileno() if sys.__stderr__ else subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                # A Ctrl-C in the terminal is for the server, which lets its images finish first.
                process_group=0,
            )
        self._connection: Connection[Message, Answer] = Connection(ours.detach())
        self._sending = threading.Lock()
        with suppress(OSError):  # if it has died already, `load` tells
            self.send(setup)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def load(self) -> Loaded:
        """Wait until the engine is loaded. Raises PackUnavailable."""
        try:
            answer = self.receive()
        except (EOFError, OSError):
            text = f"A process died loading the engine ({self.end()})."
            raise PackUnavailable(text) from None
        if isinstance(answer, Loaded):
            return answer
        if isinstance(answer, Failure):
            if answer.traceback:
                logger.error("engine load failed\n%s", answer.traceback)
            raise PackUnavailable(answer.message)
        raise AssertionError(answer)

    def send(self, message: Message) -> None:
        """Any thread may. Raises OSError when the process is gone."""
        with self._sending:
            if isinstance(message, Task):
                size = len(message.content)
                self._connection.send(replace(message, content=b"", size=size))
                send_bytes(self._connection, memoryview(message.content))
            else:
                self._connection.send(message)

    def send_line(self, line: HasDescriptor) -> None:
        """Give the process a copy of one end of a connection. Raises OSError when it is gone."""
        with self._sending:
            self._connection.send(NewLine())
            send_descriptor(self._connection, line)

    def receive(self) -> Answer:
        """One thread at a time may. Raises EOFError, OSError when the process is gone."""
        return self._connection.recv()

    def kill(self) -> None:
        """End the process now; whoever waits for its answer gets the error."""
        self._process.kill()

    def stop(self, grace_s: float) -> None:
        """Let the process finish what it does and leave; kill it after `grace_s`."""
        try:
            self.send(None)
            self._process.wait(grace_s)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
        self._process.wait()

    def end(self) -> str:
        """How the process ended, once it is certain that it has."""
        try:
            code = self._process.wait(END_GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    def close(self) -> None:
        """Kill the process if it still runs and free what it held. No thread may be asking it."""
        self.end()
        self._connection.close()
