"""`facepass-server` as a user runs it: a process with flags, variables, signals and exit codes."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import facepass
import grpc
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from common.vision.fake.photos import fake_photo
from standalone.embedded import EmbeddedPostgres, Role
from standalone.stopping import until_stopped

pytestmark = pytest.mark.takes(42)

COMMAND = [sys.executable, "-m", "standalone"]


def any_port(*servers: str) -> list[str]:
    """Flags for addresses that nobody else has."""
    return [
        f"--{server}-{listen}=127.0.0.1:0"
        for server in servers
        for listen in ("listen", "metrics-listen")
    ]


ANY_PORT = any_port("indexer", "searcher")
FAKE = {"FACEPASS_ENGINE__KIND": "fake", "FACEPASS_ENGINE__WORKERS": "1"}
START_TIMEOUT_S = 90


def environment(**variables: str) -> dict[str, str]:
    return {**os.environ, **FAKE, **variables}


def command(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end."""
    return subprocess.run(
        [*COMMAND, *arguments],
        env=environment(**variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=START_TIMEOUT_S,
    )


class Standalone:
    """A standalone in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.data, self.ready = folder / "data", folder / "ready.json"
        self.log = (folder / "log").open("w+")
        self.process = subprocess.Popen(
            [
                *COMMAND,
                "standalone",
                *ANY_PORT,
                f"--data-dir={self.data}",
                f"--ready-file={self.ready}",
            ],
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
        )

    def output(self) -> str:
        self.log.seek(0)
        return self.log.read()

    def await_ready(self) -> dict[str, Any]:
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            if self.ready.exists():
                # A killed one's file lies there still.
                told: dict[str, Any] = json.loads(self.ready.read_text())
                if told["pid"] == self.process.pid:
                    return told
            assert self.process.poll() is None, self.output()
            assert time.monotonic() < deadline, self.output()
            time.sleep(0.05)

    def family(self) -> list[psutil.Process]:
        """This process, its workers, and its Postgres."""
        ours = psutil.Process(self.process.pid)
        cluster = str((self.data / "postgres").resolve())
        postgres = [p for p in psutil.process_iter(["cwd"]) if p.info["cwd"] == cluster]
        return [ours, *ours.children(recursive=True), *postgres]

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)
        self.log.close()


def alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def await_end(family: list[psutil.Process]) -> list[psutil.Process]:
    """Those that do not end within some seconds."""
    deadline = time.monotonic() + 20
    while (left := [p for p in family if alive(p)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="facepass-test-"))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def standalone(folder: Path) -> Iterator[Standalone]:
    started = Standalone(folder)
    yield started
    started.end()


def health(address: str, service: str = "") -> int:
    with grpc.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service=service)
        status: int = stub.Check(request, timeout=10, wait_for_ready=True).status
        return status


def test_serves_says_so_and_ends_without_a_trace(standalone: Standalone) -> None:
    told = standalone.await_ready()
    key = standalone.data / "template_keys"
    assert key.stat().st_mode & 0o777 == 0o600 and len(key.read_text().split()) == 1
    serving = health_pb2.HealthCheckResponse.SERVING
    assert health(told["indexer"], "facepass.v1.Indexer") == serving
    assert health(told["searcher"], "facepass.v1.Searcher") == serving
    output = standalone.output()
    for shown in (told["indexer"], told["searcher"], told["pack"], str(standalone.data)):
        assert shown in output
    assert "Licence" in output and "\nReady." in output
    examined = command(
        "doctor",
        f"--data-dir={standalone.data}",
        FACEPASS_INDEXER__LISTEN=told["indexer"],
        FACEPASS_SEARCHER__LISTEN=told["searcher"],
    )
    assert examined.returncode == 0, examined.stdout
    assert examined.stdout.count("in use by FacePass itself") == 2
    assert "rotated; keys: 1" in examined.stdout
    assert f"{standalone.data}, in use by a standalone" in examined.stdout
    family = standalone.family()
    assert len(family) > 5, "the standalone, a worker, Postgres' own"
    standalone.process.send_signal(signal.SIGTERM)
    assert standalone.process.wait(60) == 0
    assert await_end(family) == []
    assert not standalone.ready.exists()
    assert "Traceback" not in standalone.output()


def test_second_one_refuses_and_a_killed_one_is_taken_over(
    standalone: Standalone, folder: Path
) -> None:
    searched = standalone.await_ready()
    with facepass.Client(indexer=searched["indexer"]) as client:
        client.create_event("gala")
        photo = facepass.PhotoSource("1", fake_photo([7]))
        assert [len(each.photo.faces) for each in client.index_photos("gala", [photo])] == [1]
    second = command("standalone", *ANY_PORT, f"--data-dir={standalone.data}")
    assert second.returncode == 1
    assert f"in use by facepass-server, process {standalone.process.pid}" in second.stderr
    family = standalone.family()
    standalone.process.kill()
    standalone.process.wait()
    third = Standalone(folder)
    try:
        told = third.await_ready()
        assert health(told["searcher"]) == health_pb2.HealthCheckResponse.SERVING
        with facepass.Client(searcher=told["searcher"]) as client:
            found = client.search("gala", fake_photo([7], shot=1)).matches
        assert [match.photo for match in found] == ["events/gala/photos/1"]
        assert await_end(family) == [], "its workers and its Postgres are gone"
    finally:
        third.end()
    assert third.process.returncode == 0


def test_told_to_stop_while_it_starts(standalone: Standalone) -> None:
    """Postgres is up, the workers are not yet, or nothing is: all of it ends."""
    cluster = standalone.data / "postgres" / "postmaster.pid"
    deadline = time.monotonic() + START_TIMEOUT_S
    while not cluster.exists():
        assert standalone.process.poll() is None, standalone.output()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    family = standalone.family()
    standalone.process.send_signal(signal.SIGINT)
    assert standalone.process.wait(60) == 0
    assert await_end(family) == []
    assert "Traceback" not in standalone.output()


async def test_second_signal_does_not_wait_for_what_is_in_flight() -> None:
    serving, stopping, after = asyncio.Event(), asyncio.Event(), []

    async def serve() -> None:
        try:
            serving.set()
            await asyncio.Event().wait()
        finally:
            try:
                stopping.set()
                await asyncio.Event().wait()
            finally:
                after.append("the rest is still put away")

    ended = asyncio.ensure_future(until_stopped(serve()))
    for event, number in ((serving, signal.SIGTERM), (stopping, signal.SIGINT)):
        await event.wait()
        os.kill(os.getpid(), number)
    assert await ended is False
    assert after == ["the rest is still put away"]


def test_failed_start_leaves_nothing_running(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as somebody:
        address = f"127.0.0.1:{somebody.getsockname()[1]}"
        taken = command(
            "standalone",
            f"--data-dir={folder / 'data'}",
            *ANY_PORT,
            f"--searcher-listen={address}",
        )
    assert taken.returncode == 1
    assert f"cannot listen on {address}" in taken.stderr
    assert "Traceback" not in taken.stderr
    with EmbeddedPostgres(folder / "data"):
        pass


def test_separate_servers_ask_for_migrations_then_serve(
    postgres: EmbeddedPostgres, folder: Path
) -> None:
    postgres.create_database("separate")
    dsns = {
        "FACEPASS_DATABASE__DSN": postgres.dsn(Role.SERVER, "separate"),
        "FACEPASS_DATABASE__MIGRATION_DSN": postgres.dsn(Role.OWNER, "separate"),
    }
    refused = command("searcher", *any_port("searcher"), **dsns)
    assert refused.returncode == 1
    assert "0001_extension.sql" in refused.stderr and "facepass-server migrate" in refused.stderr
    migrated = command("migrate", **dsns)
    assert migrated.returncode == 0, migrated.stderr
    assert "applied 0001_extension.sql\n" in migrated.stdout
    again = command("migrate", **dsns)
    assert again.stdout == "The database is up to date.\n"
    for server in ("indexer", "searcher"):
        ready = folder / f"{server}.json"
        process = subprocess.Popen(
            [*COMMAND, server, *any_port(server), f"--ready-file={ready}"],
            env=environment(**dsns),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            deadline = time.monotonic() + START_TIMEOUT_S
            while not ready.exists():
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.05)
            address = json.loads(ready.read_text())[server]
            assert health(address) == health_pb2.HealthCheckResponse.SERVING
        finally:
            process.terminate()
        assert process.wait(60) == 0


@pytest.mark.parametrize(
    ("arguments", "variables", "code", "said"),
    [
        ((), {"FACEPASS_ENGINE__WORKERS": "-1"}, 2, "FACEPASS_ENGINE__WORKERS: '-1' is not accept"),
        ((), {"FACEPASS_ENGINE__WORKERS": "-1"}, 2, "must be a whole number >= 0 and <= 256"),
        ((), {"FACEPASS_ENGINE__KIND": "magic"}, 2, "one of auto, onnx, starter, fake"),
        ((), {"FACEPASS_ENGINE__PROVIDERS": "CPU"}, 2, "FACEPASS_ENGINE__PROVIDERS: 'CPU' is not"),
        ((), {"FACEPASS_LOG__LEVEK": "INFO"}, 2, "FACEPASS_LOG__LEVEK: there is no such setting"),
        ((), {"FACEPASS_DATABSE__DSN": "x"}, 1, "FACEPASS_DATABSE__DSN is set, but there is no"),
        ((), {}, 1, "FACEPASS_DATABASE__DSN is not set"),
        ((), {"FACEPASS_DATABASE__DSN": "postgresql://u:hush@127.0.0.1:1/x"}, 1, "cannot "),
        (("--nonsense",), {}, 2, "unrecognized arguments"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_mistakes_are_one_line(
    arguments: tuple[str, ...], variables: dict[str, str], code: int, said: str
) -> None:
    done = command("migrate", *arguments, **variables)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr and "hush" not in done.stderr


def test_version_and_help() -> None:
    assert command("--version").stdout.startswith("facepass-server 0.")
    for name in ((), ("standalone",), ("models",), ("doctor",)):
        done = command(*name, "--help")
        assert done.returncode == 0 and "Exit codes" in done.stdout


def test_models_are_listed_and_a_licence_is_asked_for(tmp_path: Path) -> None:
    root = {"FACEPASS_ENGINE__MODEL_ROOT": str(tmp_path)}
    listed = command("models", "list", **root)
    assert listed.returncode == 0 and "buffalo_l" in listed.stdout
    assert "non-commercial" in listed.stdout
    refused = command("models", "pull", "buffalo_s", **root)
    assert refused.returncode == 1 and "--accept-license" in refused.stderr
    assert list(tmp_path.iterdir()) == []
    unnamed = command("models", "info", **root)
    assert unnamed.returncode == 1 and "FACEPASS_ENGINE__PACK" in unnamed.stderr


def test_model_is_described(packs_dir: Path) -> None:
    folder = packs_dir / "scrfd25g-mbf128"
    if not folder.is_dir():
        pytest.skip(f"needs the pack {folder}")
    told = command("models", "info", str(folder))
    assert told.returncode == 0, told.stderr
    assert "scrfd25g-mbf128@" in told.stdout and "128 dimensions" in told.stdout
    assert "Strangers:   similarity 0.01 ± 0.12\n" in told.stdout
