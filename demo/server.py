"""A standalone of the demo's own: started, waited for, and gone without a trace afterwards."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

START_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 30.0
_POLL_S = 0.05


class ServerFailed(Exception):
    """The standalone did not come up; the message has its last words."""


@dataclass(frozen=True, slots=True)
class Running:
    """Where the servers are. engine: the engine and the pack, for a person."""

    indexer: str
    searcher: str
    engine: str


@contextmanager
def standalone() -> Iterator[Running]:
    """Run `facepass-server standalone` on a data folder that goes with it. Raises ServerFailed."""
    with tempfile.TemporaryDirectory(prefix="facepass-demo-") as name:
        folder = Path(name)
        # As root, Postgres runs as a system user that has to pass through to its data.
        folder.chmod(0o711)
        log, ready = folder / "server.log", folder / "ready.json"
        process = _start(folder / "data", log, ready)
        try:
            yield _wait(process, log, ready)
        finally:
            _stop(process)


def _start(data_dir: Path, log: Path, ready: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "standalone", "standalone"]
    command += ["--data-dir", str(data_dir), "--ready-file", str(ready)]
    for server in ("indexer", "searcher"):
        command += [
            f"--{server}-listen",
            "127.0.0.1:0",
            f"--{server}-metrics-listen",
            "127.0.0.1:0",
        ]
    # The engine is the environment's; the database is the demo's own.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("FACEPASS_DATABASE__")}
    with log.open("wb") as output:
        # Away from the terminal's Ctrl-C: the demo stops it, in order.
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            start_new_session=True,
        )


def _wait(process: "subprocess.Popen[bytes]", log: Path, ready: Path) -> Running:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not ready.exists():
        if process.poll() is not None:
            raise ServerFailed(f"the server ended with code {process.returncode}:\n{_tail(log)}")
        if time.monotonic() > deadline:
            raise ServerFailed(
                f"the server is not ready after {START_TIMEOUT_S:.0f} s:\n{_tail(log)}"
            )
        time.sleep(_POLL_S)
    said = json.loads(ready.read_text())
    return Running(said["indexer"], said["searcher"], f"{said['engine']} {said['pack']}")


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _tail(log: Path) -> str:
    """What the server said to a person at last, or else the end of its log."""
    lines = log.read_text(errors="replace").splitlines()
    for_people = [line for line in lines if not line.startswith("{")]
    return "\n".join((for_people or lines)[-15:])
