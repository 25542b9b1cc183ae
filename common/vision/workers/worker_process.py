"""The server's end of one worker process."""

import logging
from contextlib import suppress

from common.errors import InvalidImage, ProcessingFailed
from common.vision.types import Analysis
from common.vision.workers.child_process import ChildProcess
from common.vision.workers.device_process import DeviceProcess
from common.vision.workers.messages import Cancel, Failure, Setup, Task, Withdrawn

logger = logging.getLogger(__name__)


class WorkerProcess(ChildProcess):
    """A running worker; one thread at a time asks it."""

    def __init__(self, setup: Setup) -> None:
        super().__init__("worker", setup)
        self.device: DeviceProcess | None = None
        """The one that it has a line to."""

    def analyze(self, task: Task) -> Analysis | Withdrawn:
        """One image's analysis. Raises InvalidImage, ProcessingFailed; afterwards see `alive`."""
        try:
            self.send(task)
            answer = self.receive()
        except (EOFError, OSError):
            logger.error("worker died", extra={"action": "worker_died", "exit": self.end()})
            raise ProcessingFailed(
                "This image made its worker crash, or took too much time or memory; nothing was "
                "stored."
            ) from None
        if isinstance(answer, Analysis | Withdrawn):
            return answer
        if isinstance(answer, InvalidImage):
            raise answer
        if isinstance(answer, Failure):
            logger.error("engine failed\n%s", answer.traceback, extra={"action": "engine_failed"})
            raise ProcessingFailed("The engine failed on this image; nothing was stored.")
        raise AssertionError(answer)

    def cancel(self, number: int) -> None:
        """Have a task given up between two of its stages, if it is still worked on."""
        with suppress(OSError):
            self.send(Cancel(number))
