"""`facepass-server` in a process of its own, on ports that stay through its deaths."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import psutil
from patience import PATIENCE_S


class ServerProcess:
    """command: `standalone`, `indexer` or `searcher`. folder: for its log and ready file.
    variables: settings, without their prefix. code: checkout whose code it runs, ours by default.
    """

    def __init__(
        self, command: str, folder: Path, *arguments: str, variables: Mapping[str, str],
        code: Path | None = None,
    ) -> None:  # fmt: skip
        self.indexer, self.searcher = (f"127.0.0.1:{port}" for port in free_ports(2))
        self._folder = folder
        self._folder.mkdir(exist_ok=True)
        self._runs: list[Started] = []
        listen = []
        if command != "searcher":
            listen += [f"--indexer-listen={self.indexer}", "--indexer-metrics-listen="]
        if command != "indexer":
            listen += [f"--searcher-listen={self.searcher}", "--searcher-metrics-listen="]
        self._command = [sys.executable, "-m", "standalone", command, *listen, *arguments]
        values = {"ENGINE__KIND": "fake", "ENGINE__WORKERS": "1", **variables}
        self._environment = {f"FACEPASS_{name}": value for name, value in values.items()}
        self._code = code
        if code is not None:
            self._environment["PYTHONPATH"] = os.pathsep.join([str(code), str(code / "client")])

    def start(self, *arguments: str) -> "Started":
        """Start one, with arguments of its own; earlier ones may run still."""
        number = len(self._runs)
        ready = self._folder / f"ready-{number}.json"
        with (self._folder / f"server-{number}.log").open("w") as log:
            process = subprocess.Popen(
                [*self._command, *arguments, f"--ready-file={ready}"],
                env={**os.environ, **self._environment},
                cwd=self._code,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._runs.append(Started(process, ready, Path(log.name)))
        return self._runs[-1]

    def end(self) -> None:
        """Stop in good order what runs of them."""
        for run in self._runs:
            run.end()

    def said(self) -> str:
        """All that was logged by all of them."""
        return "".join(path.read_text() for path in sorted(self._folder.glob("server-*.log")))


class Started:
    """One run of it."""

    def __init__(self, process: "subprocess.Popen[bytes]", ready: Path, log: Path) -> None:
        self._process = process
        self._ready = ready
        self.log = log

    async def ready(self) -> None:
        """Wait until it serves."""
        async with asyncio.timeout(PATIENCE_S):
            while not self.serves:
                assert self.exit_code is None, self.log.read_text()
                await asyncio.sleep(0.02)

    @property
    def serves(self) -> bool:
        with_pid = self._ready.exists() and json.loads(self._ready.read_text())["pid"]
        return bool(with_pid == self._process.pid)

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> list[psutil.Process]:
        """Kill it, and it alone; returns its workers, which have to notice."""
        workers = psutil.Process(self._process.pid).children(recursive=True)
        self._process.kill()
        self._process.wait(20)
        return workers

    def tell(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    async def ended(self, within_s: float) -> int:
        """Its exit code, once it has ended by itself."""
        return await asyncio.to_thread(self._process.wait, within_s)

    def end(self) -> None:
        """Stop it in good order, if it runs."""
        if self.exit_code is None:
            self._process.terminate()
            self._process.wait(PATIENCE_S)


def left_of(processes: list[psutil.Process], within_s: float) -> list[psutil.Process]:
    """Those that do not end within so many seconds."""
    deadline_s = time.monotonic() + within_s
    while left := [each for each in processes if _alive(each)]:
        if time.monotonic() > deadline_s:
            return left
        time.sleep(0.02)
    return []


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    taken = [socket.socket() for _ in range(count)]
    try:
        for each in taken:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in taken]
    finally:
        for each in taken:
            each.close()
