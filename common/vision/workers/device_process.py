"""The server's end of the device process."""

import socket
from collections.abc import Callable

from common.vision.workers.child_process import ChildProcess
from common.vision.workers.messages import Setup
from common.vision.workers.workload import DeviceLoad


class DeviceProcess(ChildProcess):
    """A running device process. Several threads may open lines while one watches."""

    def __init__(self, setup: Setup) -> None:
        super().__init__("device", setup)

    def open_line(self) -> socket.socket:
        """A connection for one worker, to be closed here once the worker has it.

        Raises OSError when the process is gone.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self.send_line(theirs)
            except OSError:
                ours.close()
                raise
        return ours

    def watch(self, told: Callable[[DeviceLoad], None]) -> str:
        """Hand on what it tells until it has ended; returns how."""
        while True:
            try:
                load = self.receive()
            except (EOFError, OSError):
                return self.end()
            assert isinstance(load, DeviceLoad)
            told(load)
