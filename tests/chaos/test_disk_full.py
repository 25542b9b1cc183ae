"""The volume of the data fills up while photos come in and guests search."""

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

import grpc
import pytest
from facepass.v1 import indexer_pb2
from fault_load import Account, Load, create_event, send, settle_account
from pydantic import SecretStr

from common.config import DatabaseSettings
from common.db.migrate import migrate
from indexer.config import IndexerServerSettings, IndexerSettings, StorageSettings
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
                # Others take room meanwhile, so the last of it may be gone.
                with suppress(OSError):
                    os.posix_fallocate(file.fileno(), 0, max(wanted, 1))


async def until_told(stubs: Any, wanted: str, within_s: float) -> float:
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


async def fill_up(stubs: Any, volume: Path, account: Account, long: bool) -> tuple[float, float]:
    """The volume comes to its limit, to its end, and back; how full it was when photos were
    refused, and how much was free when they were taken again."""
    ballast = Ballast(volume)
    ballast.leave(LEAST_SHARE + 0.02)
    await until_told(stubs, "INDEXED", 30)
    await asyncio.sleep(5 if long else 0)
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


async def test_the_volume_fills_up(
    volume: Path, vision: Any, serving: Any, figure: Callable[..., None], long: bool
) -> None:
    postgres = EmbeddedPostgres(volume / "data")
    await asyncio.to_thread(postgres.start)
    try:
        await migrate(postgres.owner_dsn)
        settings = IndexerSettings(
            indexer=IndexerServerSettings(listen="127.0.0.1:0", metrics_listen="127.0.0.1:0"),
            storage=StorageSettings(
                folder=str(volume), min_free_share=LEAST_SHARE, min_free_bytes=0
            ),
        )
        database = DatabaseSettings(dsn=SecretStr(postgres.server_dsn), pool_size=5)
        async with serving(database, vision, indexer_settings=settings) as servers:
            await create_event(servers.indexer_channel)
            assert await send(servers.indexer, "first", DEADLINE_S) == "INDEXED"
            async with Load(servers, DEADLINE_S).going_on() as account:
                full, resumed = await fill_up(servers, volume, account, long)
        counts = await settle_account(account, postgres.owner_dsn)
    finally:
        await asyncio.to_thread(postgres.stop)
    searched = account.searched.total()
    assert account.searched["OK"] / searched >= 0.999
    assert set(account.codes) <= {"INDEXED", "RESOURCE_EXHAUSTED", "FAILED RESOURCE_EXHAUSTED"}
    logs = "".join(path.read_text() for path in (volume / "data/logs").glob("postgres-*.log"))
    assert "received fast shutdown request" in logs and "PANIC" not in logs
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
