"""The Indexer, or Postgres, is killed at some moment of building a graph: nothing is lost, and
whoever comes next brings it to its end."""

import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import psutil
import pytest
from crowd import Crowd, leftovers
from large_events import indexing
from pydantic import SecretStr

import indexer.app
from common.config import DatabaseSettings
from common.db.migrate import migrate
from common.db.opening import open_database
from common.errors import DatabaseUnavailable
from indexer.graphs.curator import Pace
from indexer.graphs.operations import Operation, Phase
from standalone.embedded import EmbeddedPostgres, Role

PHOTOS, FACES = 60, 100
POINTS = [
    pytest.param(point, marks=[] if point < 5 else [pytest.mark.slow], id=str(point))
    for point in range(30)
]
PHASES = [Phase.BUILDING, Phase.CLEANING, Phase.COPYING, Phase.MEASURING, Phase.BUILDING]
PHASES += [Phase.CLEANING, Phase.QUEUED]
LONGEST_DELAY_S = {Phase.BUILDING: 1.0, Phase.CLEANING: 0.01}
QUICK = Pace(beat_s=0.1, stale_s=1.0)
BUILDING = indexing(hnsw_min_faces=PHOTOS * FACES // 2, interval_s=0.1)


@asynccontextmanager
async def writing(crowd: Crowd) -> AsyncIterator[None]:
    """Photos come and go for as long as the context lasts, except while the database is away."""
    stop = asyncio.Event()

    async def work() -> None:
        number = 0
        while not stop.is_set():
            with suppress(DatabaseUnavailable):
                await crowd.add(f"later-{number}", 2)
                if number % 3 == 0:
                    gone = f"first-{number // 3}" if number < 30 else f"later-{number}"
                    await crowd.remove(gone)
            number += 1
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 0.02)

    task = asyncio.create_task(work())
    try:
        yield
    finally:
        stop.set()
        await task


async def look(crowd: Crowd, operation_id: UUID) -> Operation:
    """The operation, once the database says."""
    async with asyncio.timeout(60):
        while True:
            with suppress(DatabaseUnavailable):
                operation = await crowd.operations.get(operation_id)
                assert operation is not None
                return operation
            await asyncio.sleep(0.05)


async def until(crowd: Crowd, operation_id: UUID, phase: Phase) -> Operation:
    """The operation once it is in that phase, or beyond."""
    phases = list(Phase)
    async with asyncio.timeout(60):
        while True:
            operation = await look(crowd, operation_id)
            if phases.index(operation.phase) >= phases.index(phase):
                return operation
            await asyncio.sleep(0.002)


async def until_the_moment(crowd: Crowd, operation_id: UUID, point: int) -> None:
    """Wait for a moment that depends on the point: somewhere in a phase, or after it."""
    choice = random.Random(point)
    phase = PHASES[point % len(PHASES)]
    await until(crowd, operation_id, phase)
    await asyncio.sleep(choice.random() * LONGEST_DELAY_S.get(phase, 0.05))
    print(f"aimed at {phase.name}, hit {(await look(crowd, operation_id)).phase.name}")


async def until_done(crowd: Crowd, operation_id: UUID) -> None:
    assert (await until(crowd, operation_id, Phase.DONE)).failure is None


async def until_tidy(owner_dsn: str, crowd: Crowd) -> None:
    """Wait until nothing lies about that should not."""
    owner = await asyncpg.connect(owner_dsn)
    try:
        for _ in range(600):
            if not (wrong := await leftovers(owner, crowd.name)):
                return
            await asyncio.sleep(0.05)
        raise AssertionError(wrong)
    finally:
        await owner.close()


class Child:
    """An Indexer in a process of its own."""

    def __init__(self, dsn: str) -> None:
        values = {
            "DATABASE__DSN": dsn,
            "ENGINE__KIND": "fake",
            "ENGINE__WORKERS": "1",
            "PROMOTION__HNSW_MIN_FACES": str(BUILDING.promotion.hnsw_min_faces),
            "PROMOTION__INTERVAL_S": "0.1",
        }
        arguments = ["--indexer-listen=127.0.0.1:0", "--indexer-metrics-listen="]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "standalone", "indexer", *arguments],
            env={**os.environ, **{f"FACEPASS_{name}": text for name, text in values.items()}},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def kill(self) -> None:
        with suppress(psutil.NoSuchProcess):
            family = psutil.Process(self._process.pid).children(recursive=True)
            self._process.kill()
            for process in family:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        self._process.wait(20)


@pytest.mark.parametrize("point", POINTS)
async def test_an_indexer_is_killed(database: Any, vision: Any, point: int) -> None:
    async with open_database(database.settings) as pool:
        crowd = await Crowd.gathered(pool, "gala", PHOTOS, FACES)
        operation = await crowd.operations.open(await crowd.event())
        child = Child(database.server_dsn)
        try:
            async with writing(crowd):
                await until_the_moment(crowd, operation.operation_id, point)
                child.kill()
        finally:
            child.kill()
        await crowd.assert_whole()
        settings = BUILDING.model_copy(update={"database": database.settings})
        async with indexer.app.running(settings, vision, QUICK):
            await until_done(crowd, operation.operation_id)
            await until_tidy(database.owner_dsn, crowd)
        assert (await crowd.event()).relation is not None
        await crowd.assert_whole()


@pytest.fixture(scope="module")
def mortal() -> Iterator[EmbeddedPostgres]:
    """A Postgres that may be killed."""
    folder = Path(tempfile.mkdtemp(prefix="facepass-mortal-"))
    folder.chmod(0o711)
    postgres = EmbeddedPostgres(folder / "data")
    postgres.start()
    try:
        yield postgres
    finally:
        postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)


def kill_and_restart(postgres: EmbeddedPostgres) -> None:
    cluster = str((postgres.data_dir / "postgres").resolve())
    for process in psutil.process_iter(["cwd"]):
        if process.info["cwd"] == cluster:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
    postgres.stop()
    postgres.start()


@asynccontextmanager
async def fresh(postgres: EmbeddedPostgres, name: str) -> AsyncIterator[DatabaseSettings]:
    postgres.create_database(name)
    try:
        await migrate(postgres.dsn(Role.OWNER, name))
        yield DatabaseSettings(dsn=SecretStr(postgres.dsn(Role.SERVER, name)), pool_size=5)
    finally:
        postgres.drop_database(name)


@pytest.mark.parametrize("point", POINTS)
async def test_postgres_is_killed(mortal: EmbeddedPostgres, vision: Any, point: int) -> None:
    name = f"killed_{point}"
    async with fresh(mortal, name) as settings, open_database(settings) as pool:
        crowd = await Crowd.gathered(pool, "gala", PHOTOS, FACES)
        operation = await crowd.operations.open(await crowd.event())
        serving = BUILDING.model_copy(update={"database": settings})
        async with indexer.app.running(serving, vision, QUICK):
            async with writing(crowd):
                await until_the_moment(crowd, operation.operation_id, point)
                await asyncio.to_thread(kill_and_restart, mortal)
                await look(crowd, operation.operation_id)
            await until_done(crowd, operation.operation_id)
            await until_tidy(mortal.dsn(Role.OWNER, name), crowd)
        assert (await crowd.event()).relation is not None
        await crowd.assert_whole()
