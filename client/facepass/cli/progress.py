"""How far a long run is: a bar on a terminal, a line now and then elsewhere."""

import logging
import sys
import threading
import time
from types import TracebackType
from typing import Self

from tqdm import tqdm

from facepass.cli.output import note, shown

_LINE_EVERY_S = 10.0


class _Notes(logging.Handler):
    """Says what the client library logs, such as that it waits for the server."""

    def emit(self, record: logging.LogRecord) -> None:
        # Above the bar, where there is one.
        tqdm.write(shown(record.getMessage()), file=sys.stderr)


class Progress:
    """Counts photos up to `total`. A context manager; its methods may be called by any thread."""

    def __init__(self, total: int, *, quiet: bool) -> None:
        self._total = total
        self._quiet = quiet
        self._done = 0
        self._lock = threading.Lock()
        self._start_s = self._said_s = time.monotonic()
        terminal = sys.stderr.isatty() and not quiet
        self._bar = tqdm(total=total, unit="photo", dynamic_ncols=True) if terminal else None
        self._notes = _Notes()

    def __enter__(self) -> Self:
        logging.getLogger("facepass").addHandler(self._notes)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        logging.getLogger("facepass").removeHandler(self._notes)
        if self._bar is not None:
            self._bar.close()

    def advance(self) -> None:
        """Count one photo."""
        with self._lock:
            self._done += 1
            if self._bar is not None:
                self._bar.update()
            elif not self._quiet:
                self._say_now_and_then()

    def _say_now_and_then(self) -> None:
        now_s = time.monotonic()
        if now_s - self._said_s < _LINE_EVERY_S:
            return
        self._said_s = now_s
        rate = self._done / (now_s - self._start_s)
        left_s = (self._total - self._done) / rate
        note(f"{self._done:,} of {self._total:,} photos, {rate:.1f} photos/s, {left_s:.0f} s left")
