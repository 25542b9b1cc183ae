"""The record as a file of JSON lines."""

import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from common.audit.line import Line
from common.errors import SetupError

STANDARD_OUTPUT = "-"


class FileSink:
    """Appends to a file that its owner alone may read, or to standard output.

    Each line is given to the operating system by itself, within moments. A file that was moved
    away or removed, as rotation does, is made anew.
    """

    name = "file"
    gathers_s = 0.02

    def __init__(self, path: str) -> None:
        """Raises SetupError where the file cannot be written."""
        self._path = None if path == STANDARD_OUTPUT else Path(path)
        self._file = sys.stdout.fileno() if self._path is None else -1
        self._half = False
        try:
            self._reopen()
        except OSError as error:
            raise SetupError(f"cannot write FACEPASS_AUDIT__FILE {path}: {error}") from error

    async def write(self, lines: Sequence[Line]) -> int:
        return await asyncio.to_thread(self._write, lines)

    def _write(self, lines: Sequence[Line]) -> int:
        self._reopen()
        for done, line in enumerate(lines):
            # A line of which only a part was written is ended here, and written again in full.
            text = "\n" * self._half + line.json() + "\n"
            try:
                self._append(text.encode())
            except OSError:
                if not done:
                    raise
                return done
        return len(lines)

    def _append(self, data: bytes) -> None:
        written = os.write(self._file, data)
        self._half = written < len(data)
        if self._half:
            raise OSError("only a part of a line could be written")

    def _reopen(self) -> None:
        if self._path is None:
            return
        with suppress(OSError):
            if os.path.samestat(os.stat(self._path), os.fstat(self._file)):
                return
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        before, self._file = self._file, os.open(self._path, flags, 0o600)
        self._half = False
        if before >= 0:
            os.close(before)
