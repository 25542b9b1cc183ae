"""Several processes of a Searcher at one address."""

import asyncio
import shutil
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import grpc
import psutil
import pytest
from facepass.v1 import searcher_pb2, searcher_pb2_grpc
from patience import until
from prometheus_client.parser import text_string_to_metric_families
from server_process import ServerProcess, free_ports, left_of

from common.errors import SetupError
from common.vision.fake.photos import fake_photo
from standalone.cli import run
from standalone.processes import metrics_of, reserved

SELFIE = searcher_pb2.EvaluateSelfieRequest(image=fake_photo([1]))
CONNECTIONS = 40
REPLACED_WITHIN_S = 60


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="facepass-test-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


class Two:
    """A Searcher of two processes."""

    def __init__(self, folder: Path, dsn: str) -> None:
        first, _ = self.metrics_ports = _neighbours()
        metrics = f"--searcher-metrics-listen=127.0.0.1:{first}"
        variables = {"DATABASE__DSN": dsn}
        server = ServerProcess("searcher", folder, "--processes=2", metrics, variables=variables)
        self.address = server.searcher
        self.run = server.start()

    @property
    def processes(self) -> list[psutil.Process]:
        return psutil.Process(self.run.pid).children()

    def calls(self) -> list[float]:
        """Selfies that each process has answered."""
        return [_answered(port) for port in self.metrics_ports]


def _neighbours() -> tuple[int, int]:
    """Two ports in a row that nobody listens on."""
    while True:
        (first,) = free_ports(1)
        with socket.socket() as second:
            try:
                second.bind(("127.0.0.1", first + 1))
            except (OSError, OverflowError):
                continue
            return first, first + 1


def _answered(port: int) -> float:
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "facepass_rpcs_total" and sample.labels["code"] == "OK"
    )


@asynccontextmanager
async def two(folder: Path, dsn: str) -> AsyncIterator[Two]:
    running = Two(folder, dsn)
    try:
        await running.run.ready()
        yield running
    finally:
        running.run.end()


async def call(address: str) -> None:
    """One call on a connection of its own."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(address, options) as channel:
        await searcher_pb2_grpc.SearcherStub(channel).EvaluateSelfie(SELFIE, timeout=30)


async def test_they_share_the_connections_and_one_that_dies_is_replaced(
    folder: Path, database: Any
) -> None:
    async with two(folder, database.server_dsn) as running:
        for _ in range(CONNECTIONS):
            await call(running.address)
        answered = running.calls()
        assert sum(answered) == CONNECTIONS and min(answered) > 0

        first, second = running.processes
        first.kill()
        first.wait()
        # None is refused meanwhile: who starts does not listen.
        async with asyncio.timeout(REPLACED_WITHIN_S):
            while not _serves_again(running.run.log.read_text()):
                await call(running.address)
        assert second in running.processes and len(running.processes) == 2

        processes = [*running.processes, *_workers(running)]
        running.run.tell(signal.SIGTERM)
        said = running.run.log
        assert await running.run.ended(30) == 0, said.read_text()
        assert left_of(processes, 0.0) == []
        assert not running.run.serves
        assert "Traceback" not in said.read_text()


def _serves_again(log: str) -> bool:
    return '"action": "process_serves"' in log.partition('"action": "process_ended"')[2]


def _workers(running: Two) -> list[psutil.Process]:
    return [worker for process in running.processes for worker in process.children()]


@pytest.mark.slow
async def test_they_end_with_whoever_started_them(folder: Path, database: Any) -> None:
    async with two(folder, database.server_dsn) as running:
        processes = [*running.processes, *_workers(running)]
        running.run.tell(signal.SIGKILL)
        await running.run.ended(10)
        await until(lambda: left_of(processes, 0.0) == [])


@pytest.mark.slow
async def test_one_that_cannot_start_ends_them_all(folder: Path, database: Any) -> None:
    variables = {"DATABASE__DSN": database.owner_dsn}
    started = ServerProcess("searcher", folder, "--processes=2", variables=variables).start()
    try:
        assert await started.ended(60) == 1
        assert "ended before it served" in started.log.read_text().splitlines()[-1]
    finally:
        started.end()


def test_an_address_that_is_taken_or_of_a_kind_that_cannot_be_shared() -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        for listen in (taken, "unix:/tmp/searcher", "no.such.name.invalid:50052"):
            with pytest.raises(SetupError), reserved(listen):
                pass
    with reserved("127.0.0.1:0") as listen, pytest.raises(OSError):
        host, port = listen.split(":")
        with socket.socket() as another:
            another.bind((host, int(port)))


def test_each_has_metrics_of_its_own() -> None:
    assert [metrics_of("[::1]:9102", number) for number in (0, 3)] == ["[::1]:9102", "[::1]:9105"]
    assert metrics_of("127.0.0.1:0", 1) == "127.0.0.1:0"
    assert metrics_of("", 1) == ""


def test_the_standalone_has_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FACEPASS_SEARCHER__PROCESSES", "2")
    assert run(["standalone", f"--data-dir={folder / 'data'}"]) == 1
    assert "FACEPASS_SEARCHER__PROCESSES" in capsys.readouterr().err
