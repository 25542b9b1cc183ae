"""`facepass-server` in a process of its own."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from time import monotonic
from typing import Any

_START_S = 90
_FAKE = {"FACEPASS_ENGINE__KIND": "fake", "FACEPASS_ENGINE__WORKERS": "1"}


class CommandProcess:
    """One command that serves; `folder` gets its ready file and its log."""

    def __init__(self, folder: Path, command: str, *arguments: str, **variables: str) -> None:
        self.ready = folder / f"{command}.json"
        self._log = (folder / f"{command}.log").open("w+")
        servers = ("indexer", "searcher") if command == "standalone" else (command,)
        given = " ".join(arguments)
        ports = [
            f"--{server}-{listen}=127.0.0.1:0"
            for server in servers
            for listen in ("listen", "metrics-listen")
            if f"--{server}-{listen}=" not in given
        ]
        flags = [*ports, *arguments, f"--ready-file={self.ready}"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "standalone", command, *flags],
            env={**os.environ, **_FAKE, **variables},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )

    def output(self) -> str:
        self._log.seek(0)
        return self._log.read()

    async def until_ready(self) -> dict[str, Any]:
        """Its addresses, once it serves."""
        deadline = monotonic() + _START_S
        while not self.ready.exists():
            assert self.process.poll() is None, self.output()
            assert monotonic() < deadline, self.output()
            await asyncio.sleep(0.05)
        told: dict[str, Any] = json.loads(self.ready.read_text())
        return told

    def tell(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def ended(self, within_s: float) -> int:
        """Its exit code, once it has ended."""
        return await asyncio.to_thread(self.process.wait, within_s)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._log.close()
