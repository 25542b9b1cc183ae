"""The volume of the standalone's data fills up while photos come in and guests search."""

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import grpc
import pytest
from facepass.v1 import indexer_pb2, indexer_pb2_grpc, searcher_pb2_grpc
from fault_load import Account, Load, create_event, send, settle_account
from server_process import ServerProcess

from standalone.embedded import EmbeddedPostgres

MIB = 1024 * 1024
VOLUME_BYTES = 768 * MIB
LEAST_SHARE = 0.1
DEADLINE_S = 10.0


@pytest.fixture
def volume() -> Iterator[Path]:
    """A small volume of its own."""
    folder = Path(tempfile.mkdtemp(prefix="facepass-volume-"))
    folder.chmod(0o711)
    size = f"size={VOLUME_BYTES},mode=711"
    mount = ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        folder.rmdir()
        pytest.skip("mounting a volume is not permitted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)
        folder.rmdir()


class Ballast:
    """A file that takes up room."""

    def __init__(self, volume: Path) -> None:
        self._volume = volume
        self._path = volume / "ballast"

    def leave(self, share: float) -> None:
        """Grow or shrink so that this share of the volume is free."""
        usage = shutil.disk_usage(self._volume)
        size = self._path.stat().st_size if self._path.exists() else 0
        wanted = max(0, int(size + usage.free - share * usage.total))
        with self._path.open("ab") as file:
            if wanted < size:
                file.truncate(wanted)
            else:
                os.posix_fallocate(file.fileno(), 0, max(wanted, 1))


class Stubs:
    def __init__(self, indexing: grpc.aio.Channel, searching: grpc.aio.Channel) -> None:
        self.indexer: Any = indexer_pb2_grpc.IndexerStub(indexing)
        self.searcher: Any = searcher_pb2_grpc.SearcherStub(searching)


async def until_told(stubs: Stubs, wanted: str, within_s: float) -> float:
    """Seconds until a photo is answered like this."""
    started, number = monotonic(), 0
    while True:
        number += 1
        try:
            told = await send(stubs.indexer, f"{wanted}-{number}", DEADLINE_S)
        except grpc.aio.AioRpcError as error:
            told = error.code().name
        if told == wanted:
            return monotonic() - started
        assert monotonic() - started < within_s, told
        await asyncio.sleep(0.05)


async def fill_up(stubs: Stubs, volume: Path, account: Account, long: bool) -> tuple[float, float]:
    """The volume comes to its limit, to its end, and back; how full it was when photos were
    refused, and how much was free when they were taken again."""
    ballast = Ballast(volume)
    ballast.leave(LEAST_SHARE + 0.01)
    await asyncio.sleep(5 if long else 0.5)
    assert "INDEXED" in account.codes
    ballast.leave(LEAST_SHARE - 0.01)
    await until_told(stubs, "RESOURCE_EXHAUSTED", 10)
    refused_at = shutil.disk_usage(volume)
    name = "events/gala/photos/first"
    await stubs.indexer.DeletePhoto(indexer_pb2.DeletePhotoRequest(name=name))
    ballast.leave(0.0)
    await asyncio.sleep(30 if long else 1)
    ballast.leave(LEAST_SHARE + 0.02)
    await asyncio.sleep(2.5)
    await until_told(stubs, "RESOURCE_EXHAUSTED", 0.5)
    ballast.leave(LEAST_SHARE + 0.07)
    await until_told(stubs, "INDEXED", 10)
    resumed_at = shutil.disk_usage(volume)
    return 1 - refused_at.free / refused_at.total, resumed_at.free / resumed_at.total


async def test_the_volume_fills_up(volume: Path, figure: Callable[..., None], long: bool) -> None:
    data = volume / "data"
    settings = {
        "FACEPASS_STORAGE__MIN_FREE_SHARE": str(LEAST_SHARE),
        "FACEPASS_STORAGE__MIN_FREE_BYTES": "0",
    }
    server = ServerProcess(volume, "standalone", f"--data-dir={data}", **settings)
    try:
        told = await server.until_ready()
        async with (
            grpc.aio.insecure_channel(told["indexer"]) as indexing,
            grpc.aio.insecure_channel(told["searcher"]) as searching,
        ):
            await create_event(indexing)
            stubs = Stubs(indexing, searching)
            assert await send(stubs.indexer, "first", DEADLINE_S) == "INDEXED"
            load = Load(stubs, DEADLINE_S)
            async with load.going_on() as account:
                full, resumed = await fill_up(stubs, volume, account, long)
        postgres = EmbeddedPostgres(data)
        postgres.attach()
        counts = await settle_account(account, postgres.owner_dsn)
        server.tell(signal.SIGTERM)
        assert await server.ended(60) == 0
    finally:
        server.end()
    searched = account.searched.total()
    assert account.searched["OK"] / searched >= 0.999
    assert set(account.codes) <= {"INDEXED", "RESOURCE_EXHAUSTED", "FAILED RESOURCE_EXHAUSTED"}
    logs = "".join(path.read_text() for path in (data / "logs").glob("postgres-*.log"))
    assert "PANIC" not in logs and "received fast shutdown request" in logs
    figure(
        "Disk full",
        done="the volume of the data is filled past the limit, to the last byte, and freed again",
        **counts,
        refused_when_full=f"{full:.0%}",
        taken_again_when_free=f"{resumed:.0%}",
        searches=searched,
        searches_failed=searched - account.searched["OK"],
        panics_of_postgres=0,
    )
