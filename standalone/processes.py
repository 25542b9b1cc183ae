"""Several processes of one server that share its address: started, started again, ended together.

The kernel deals new connections out among those that listen (SO_REUSEPORT). None listens before it
can serve, so that a process that starts takes no connection from the others.
"""

import asyncio
import json
import logging
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

from common.config import ServerSettings
from common.errors import SetupError
from standalone.ready_file import kept

log = logging.getLogger(__name__)
_LOOK_S = 0.05
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 30.0
_ENDING_S = 30.0
"""What ending takes beyond the grace; whoever has not ended then is killed."""


@dataclass(frozen=True, slots=True)
class Command:
    """What runs: `indexer` or `searcher`, its arguments, and its own settings."""

    server: str
    arguments: Sequence[str]
    settings: ServerSettings


async def serve_processes(command: Command, ready_file: Path | None) -> None:
    """Serve by as many processes as the settings say, until told to stop.

    Raises SetupError where one of them ends before it ever served.
    """
    if sys.platform != "linux":
        raise SetupError("several processes can share an address on Linux only")
    with (
        reserved(command.settings.listen) as listen,
        tempfile.TemporaryDirectory(prefix="facepass-") as folder,
    ):
        processes = [
            Process(command, number, listen, Path(folder) / f"{number}.json")
            for number in range(command.settings.processes)
        ]
        tasks = [asyncio.create_task(process.keep()) for process in processes]
        tasks.append(asyncio.create_task(_announce(command.server, listen, processes, ready_file)))
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@dataclass
class Process:
    """One of them, and those that follow it once it dies. ready: the file that says it serves."""

    command: Command
    number: int
    listen: str
    ready: Path
    serves: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once it, or one before it, has served."""
    told: Mapping[str, Any] = field(default_factory=dict)
    """What the first of them said of itself."""

    async def keep(self) -> None:
        """Run it, and again whenever it ends unasked, for as long as it takes; never returns.
        Cancelled, it ends in good order, and at once where cancelled again. Raises SetupError."""
        pause_s = _FIRST_PAUSE_S
        while True:
            started_s = monotonic()
            code = await self._run()
            if not self.serves.is_set():
                raise SetupError(f"process {self.number} ended before it served (code {code})")
            if monotonic() - started_s > _LONGEST_PAUSE_S:
                pause_s = _FIRST_PAUSE_S
            about = {"number": self.number, "code": code, "pause_s": pause_s}
            log.error("a process has ended unasked", extra={"action": "process_ended", **about})
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _run(self) -> int:
        """Run one to its end; returns its exit code, a signal's as a negative number."""
        self.ready.unlink(missing_ok=True)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "standalone", *self.command.arguments),
            *(f"--process={self.number}", f"--supervisor={os.getpid()}"),
            *(f"--{self.command.server}-listen={self.listen}", f"--ready-file={self.ready}"),
            # What a terminal sends goes to us alone; it is passed on, once.
            start_new_session=True,
        )
        try:
            await self._until_served(process)
            return await process.wait()
        except asyncio.CancelledError:
            await self._stop(process)
            raise

    async def _until_served(self, process: asyncio.subprocess.Process) -> None:
        while process.returncode is None:
            await asyncio.sleep(_LOOK_S)
            if not self.ready.exists():
                continue
            extra = {"action": "process_serves", "number": self.number, "process_id": process.pid}
            log.info("a process serves", extra=extra)
            self.told = self.told or json.loads(self.ready.read_text())
            self.serves.set()
            return

    async def _stop(self, process: asyncio.subprocess.Process) -> None:
        patience_s = self.command.settings.shutdown_grace_s + _ENDING_S
        _tell(process, signal.SIGTERM)
        while process.returncode is None:
            try:
                async with asyncio.timeout(patience_s):
                    await process.wait()
            except asyncio.CancelledError:
                _tell(process, signal.SIGINT)
            except TimeoutError:
                _tell(process, signal.SIGKILL)


def _tell(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        process.send_signal(number)


async def _announce(
    server: str, listen: str, processes: Sequence[Process], ready_file: Path | None
) -> None:
    """Have the ready file there from when all serve; never returns."""
    for process in processes:
        await process.serves.wait()
    told = processes[0].told
    metrics = [process.told[f"{server}_metrics"] for process in processes]
    summary = {**told, "pid": os.getpid(), f"{server}_metrics": metrics}
    with kept(json.dumps(summary), ready_file):
        print(f"{len(processes)} processes serve at {listen}. Ctrl-C stops them.", flush=True)
        await asyncio.Event().wait()


@contextmanager
def reserved(listen: str) -> Iterator[str]:
    """The address with its port, kept for as long as the context lasts: bound by a socket that does
    not listen. Raises SetupError for one that is taken, or of a kind that cannot be shared."""
    host, _, port = listen.rpartition(":")
    if listen.startswith("unix:"):
        raise SetupError(f"several processes cannot share {listen}: give host:port")
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family) as alone:
            # Fails where anybody listens, also one who would share.
            alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            alone.bind(address)
        held = socket.socket(family)
    except OSError as error:
        raise SetupError(f"cannot listen on {listen}: {error.strerror or error}") from error
    with held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(address)
        yield f"{host}:{held.getsockname()[1]}"


def metrics_of(listen: str, number: int) -> str:
    """Where the process of that number has its metrics."""
    host, colon, port = listen.rpartition(":")
    return f"{host}{colon}{int(port) + number}" if port not in ("", "0") else listen
