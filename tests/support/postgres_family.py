"""The Postgres processes of one data folder, to be killed."""

import random
import signal
from contextlib import suppress
from enum import Enum
from pathlib import Path

import psutil


class Fault(Enum):
    """How Postgres goes."""

    BACKEND = "one backend"
    POSTMASTER = "the postmaster"
    GROUP = "all of Postgres"
    IMMEDIATE = "immediate shutdown"

    @property
    def ends_it(self) -> bool:
        """Whether somebody has to start it again."""
        return self is not Fault.BACKEND


class PostgresFamily:
    """data_dir: as of EmbeddedPostgres."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir

    def processes(self) -> list[psutil.Process]:
        """Every one that runs."""
        folder = str((self._data_dir / "postgres").resolve())
        found = psutil.process_iter(["cwd", "status", "cmdline", "ppid"])
        return [
            each
            for each in found
            if each.info["cwd"] == folder and each.info["status"] != psutil.STATUS_ZOMBIE
        ]

    def postmasters(self) -> list[psutil.Process]:
        """One, or none. The others are their children, or go by a title of their own."""
        every = self.processes()
        pids = {process.pid for process in every}
        return [
            process
            for process in every
            if process.info["ppid"] not in pids and "-D" in (process.info["cmdline"] or ())
        ]

    def strike(self, fault: Fault, choice: random.Random) -> None:
        """Do it now. A backend is one of the servers'."""
        match fault:
            case Fault.BACKEND:
                sessions = [each for each in self.processes() if _serves(each)]
                _send([choice.choice(sessions)], signal.SIGKILL)
            case Fault.POSTMASTER:
                _send(self.postmasters(), signal.SIGKILL)
            case Fault.GROUP:
                _send(self.processes(), signal.SIGKILL)
            case Fault.IMMEDIATE:
                _send(self.postmasters(), signal.SIGQUIT)  # as `pg_ctl stop --mode=immediate`

    def end(self) -> None:
        """Kill what is left of it."""
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def log(self) -> str:
        """All that Postgres said."""
        logs = sorted((self._data_dir / "logs").glob("postgres-*.log"))
        return "".join(path.read_text(errors="replace") for path in logs)


def _serves(process: psutil.Process) -> bool:
    return any("facepass_server" in word for word in process.info["cmdline"] or ())


def _send(processes: list[psutil.Process], number: signal.Signals) -> None:
    assert processes
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)
