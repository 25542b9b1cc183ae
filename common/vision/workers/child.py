"""Inside a child process of the server: what comes from there.

A child is not started through multiprocessing, whose spawn would import the server's main module,
with all of gRPC, into each. Its only argument is the descriptor of its connection to the server.
"""

import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import TypeVar

from common.errors import PackUnavailable
from common.vision.workers.confinement import forbid_core_dumps
from common.vision.workers.descriptors import receive_descriptor
from common.vision.workers.messages import Answer, Cancel, Failure, Message, NewLine, Setup, Task
from common.vision.workers.raw_bytes import Line, receive_into

T = TypeVar("T")


class Inbox:
    """The server's messages; the process ends at once when the server is gone, whatever is going
    on."""

    def __init__(self) -> None:
        # A Ctrl-C or a service manager's stop reaches the whole group; the server finishes its
        # images first.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        forbid_core_dumps()
        self.server: Connection[Answer, Message] = Connection(int(sys.argv[1]))
        self.cancelled = 0
        """Number of the task that was cancelled last."""
        self._messages: queue.SimpleQueue[Setup | Task | Line | None] = queue.SimpleQueue()
        threading.Thread(target=self._receive, daemon=True).start()

    def get(self) -> "Setup | Task | Line | None":
        """Wait for the next message; a NewLine comes as the connection with the device process that
        it brings."""
        return self._messages.get()

    def _receive(self) -> None:
        """Pass messages on; a thread of its own, so that a busy process hears of them too."""
        while True:
            try:
                match self.server.recv():
                    case NewLine():
                        self._messages.put(Connection(receive_descriptor(self.server)))
                    case Cancel(number):
                        self.cancelled = number
                    case Task() as task:
                        content = bytearray(task.size)
                        receive_into(self.server, memoryview(content))
                        self._messages.put(replace(task, content=bytes(content)))
                    case message:
                        self._messages.put(message)
            except (EOFError, OSError):
                os._exit(0)
            except MemoryError:
                os._exit(1)


def attempt(load: Callable[[], T]) -> T | Failure:
    """What a child loads, or what there is to say about it."""
    try:
        return load()
    except PackUnavailable as error:
        return Failure(error.message, "")
    except Exception as error:
        return Failure(f"The engine cannot be loaded: {error}", traceback.format_exc())
