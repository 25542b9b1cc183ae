"""Where it is measured: one embedded Postgres, and servers as processes of their own."""

import standalone  # noqa: F401 - before gRPC, for which it sets the environment

# isort: split

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.request import urlopen

import grpc
import psutil

from standalone.embedded import EmbeddedPostgres, Role

ROOT = Path(__file__).resolve().parents[1]
_START_TIMEOUT_S = 120
_SETTINGS = {
    "FACEPASS_ENGINE__KIND": "fake",
    "FACEPASS_ENGINE__WORKERS": "1",
}
_QUIET = {"FACEPASS_LOG__LEVEL": "WARNING"}
# All data of both sides stays in Postgres' own memory, and no checkpoint falls into a measurement.
_POSTGRES = {"shared_buffers": "6GB", "max_wal_size": "32GB", "checkpoint_timeout": "1h"}
_SMALL_POSTGRES = {"shared_buffers": "256MB"}


@dataclass(frozen=True, slots=True)
class Server:
    """A running Indexer or Searcher."""

    pid: int
    address: str
    metrics_address: str

    @contextmanager
    def channel(self) -> Iterator[grpc.Channel]:
        """A connection to it."""
        with grpc.insecure_channel(self.address) as channel:
            yield channel

    def metric(self, name: str) -> float:
        """The value of a metric without labels."""
        with urlopen(f"http://{self.metrics_address}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))

    @property
    def memory_bytes(self) -> int:
        """Resident memory of the process itself, without its workers."""
        return int(psutil.Process(self.pid).memory_info().rss)


class Databases(Protocol):
    """Where the databases are."""

    def dsn(self, role: Role, database: str) -> str: ...

    def create_database(self, name: str) -> None: ...


class Ground:
    """Databases, and the servers that run on them, which end with `stack`."""

    def __init__(self, folder: Path, postgres: Databases, stack: ExitStack) -> None:
        self._folder = folder
        self._postgres = postgres
        self._stack = stack

    def owner_dsn(self, database: str) -> str:
        return self._postgres.dsn(Role.OWNER, database)

    def server_dsn(self, database: str) -> str:
        return self._postgres.dsn(Role.SERVER, database)

    def superuser_dsn(self, database: str) -> str:
        return self._postgres.dsn(Role.SUPERUSER, database)

    def create_database(self, database: str) -> None:
        """Make a migrated database."""
        self._postgres.create_database(database)
        dsn = {
            "FACEPASS_DATABASE__DSN": self.server_dsn(database),
            "FACEPASS_DATABASE__MIGRATION_DSN": self.owner_dsn(database),
        }
        command = [sys.executable, "-m", "standalone", "migrate"]
        subprocess.run(
            command, env=_environment(dsn | _QUIET), cwd=ROOT, check=True, stdout=subprocess.DEVNULL
        )

    def serve(self, kind: str, database: str, **settings: str) -> Server:
        """Start an `indexer` or a `searcher` and wait until it serves."""
        return self._serve(kind, (kind,), database, settings)[0]

    def serve_standalone(self, database: str, **settings: str) -> tuple[Server, Server]:
        """Start an Indexer and a Searcher as one process, as `standalone` runs them."""
        owner = {"FACEPASS_DATABASE__MIGRATION_DSN": self.owner_dsn(database)}
        both = ("indexer", "searcher")
        indexer, searcher = self._serve("standalone", both, database, owner | settings)
        return indexer, searcher

    def _serve(
        self, kind: str, servers: Sequence[str], database: str, settings: Mapping[str, str]
    ) -> list[Server]:
        name = f"{kind}-{len(list(self._folder.glob('*.log')))}"
        ready, log = self._folder / f"{name}.json", self._folder / f"{name}.log"
        variables = {"FACEPASS_DATABASE__DSN": self.server_dsn(database), **_SETTINGS, **settings}
        any_port = [
            f"--{server}-{each}=127.0.0.1:0"
            for server in servers
            for each in ("listen", "metrics-listen")
        ]
        process = subprocess.Popen(
            [sys.executable, "-m", "standalone", kind, *any_port, f"--ready-file={ready}"],
            env=_environment(variables),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._stack.enter_context(log.open("w")),
        )
        self._stack.callback(_stop, process)
        _await_file(ready, process, log)
        told = json.loads(ready.read_text())
        return [Server(process.pid, told[each], told[f"{each}_metrics"]) for each in servers]


@contextmanager
def prepared(*, small: bool) -> Iterator[Ground]:
    """A ground of its own below the temporary folder, removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="facepass-bench-"))
    folder.chmod(0o711)  # Postgres may be another user
    try:
        with ExitStack() as stack:
            data = folder / "data"
            postgres = EmbeddedPostgres(data)
            _override(data, _SMALL_POSTGRES if small else _POSTGRES)
            stack.enter_context(postgres)
            yield Ground(folder, postgres, stack)
    except Exception:
        _tell_warnings(folder)
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _tell_warnings(folder: Path) -> None:
    """What the servers had to complain about."""
    for log in folder.glob("*.log"):
        lines = [each for each in log.read_text().splitlines() if '"level": "INFO"' not in each]
        print(f"{log.name}:", *lines[-20:], sep="\n", file=sys.stderr)


def _override(data: Path, settings: dict[str, str]) -> None:
    """Give Postgres settings of our own, read at its start."""
    with EmbeddedPostgres(data):
        pass  # makes the folder, which may not hold files of others before
    lines = [f"{name} = '{value}'\n" for name, value in settings.items()]
    path = data / "postgres.conf"
    path.write_text("".join(lines))
    path.chmod(0o644)


def _environment(variables: dict[str, str]) -> dict[str, str]:
    """Ours less whatever configures FacePass, and `variables`."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("FACEPASS_")}
    return {**kept, **variables}


def _await_file(path: Path, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while not path.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"a server did not start:\n{log.read_text()[-4000:]}")
        time.sleep(0.05)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
