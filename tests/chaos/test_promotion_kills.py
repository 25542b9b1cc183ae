"""The Indexer, or Postgres, is killed at some moment of building a graph: nothing is lost, and
whoever comes next brings it to its end."""

import asyncio
import random
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from crowd import Crowd, leftovers
from large_events import indexing
from postgres_family import Fault, PostgresFamily
from pydantic import SecretStr
from server_process import ServerProcess

import indexer.app
from common.config import DatabaseSettings
from common.db.migrate import migrate
from common.db.opening import open_database
from common.errors import DatabaseUnavailable
from indexer.graphs.curator import Pace
from indexer.graphs.operations import Operation, Phase
from standalone.embedded import EmbeddedPostgres, Role

pytestmark = pytest.mark.takes(350)

MIGRATED = "migrated"
PHOTOS, FACES = 60, 100
SHORT, LONG = 2, 14
PHASES = [Phase.BUILDING, Phase.CLEANING, Phase.COPYING, Phase.MEASURING, Phase.BUILDING]
PHASES += [Phase.CLEANING, Phase.QUEUED]
LONGEST_DELAY_S = {Phase.BUILDING: 1.0, Phase.CLEANING: 0.01}
QUICK = Pace(beat_s=0.1, stale_s=1.0)
BUILDING = indexing(hnsw_min_faces=PHOTOS * FACES // 2, interval_s=0.1)
EARLY = {
    "PROMOTION__HNSW_MIN_FACES": str(BUILDING.promotion.hnsw_min_faces),
    "PROMOTION__INTERVAL_S": "0.1",
}


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


def open_folder() -> Path:
    """One that Postgres' user passes through."""
    folder = Path(tempfile.mkdtemp(prefix="facepass-mortal-"))
    folder.chmod(0o711)
    return folder


@pytest.fixture(scope="module")
async def mortal() -> AsyncIterator[EmbeddedPostgres]:
    """A Postgres that may be killed, with a migrated database to clone."""
    folder = await asyncio.to_thread(open_folder)
    postgres = EmbeddedPostgres(folder / "data")
    postgres.start()
    try:
        postgres.create_database(MIGRATED)
        await migrate(postgres.dsn(Role.OWNER, MIGRATED))
        yield postgres
    finally:
        postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)


def kill_and_restart(postgres: EmbeddedPostgres) -> None:
    PostgresFamily(postgres.data_dir).strike(Fault.GROUP, random.Random())
    postgres.restart()


@asynccontextmanager
async def fresh(postgres: EmbeddedPostgres, name: str) -> AsyncIterator[DatabaseSettings]:
    postgres.create_database(name, template=MIGRATED)
    try:
        yield DatabaseSettings(dsn=SecretStr(postgres.dsn(Role.SERVER, name)), pool_size=5)
    finally:
        postgres.drop_database(name)


async def kill_an_indexer(
    postgres: EmbeddedPostgres, vision: Any, folder: Path, point: int
) -> Crowd:
    name = f"indexer_{point}"
    async with fresh(postgres, name) as settings, open_database(settings) as pool:
        crowd = await Crowd.gathered(pool, "gala", PHOTOS, FACES)
        operation = await crowd.operations.open(await crowd.event())
        values = {"DATABASE__DSN": settings.dsn.get_secret_value(), **EARLY}
        run = ServerProcess("indexer", folder, variables=values).start()
        try:
            async with writing(crowd):
                await until_the_moment(crowd, operation.operation_id, point)
                run.kill()
        finally:
            run.end()
        await crowd.assert_whole()
        serving = BUILDING.model_copy(update={"database": settings})
        async with indexer.app.running(serving, vision, QUICK):
            await until_done(crowd, operation.operation_id)
            await until_tidy(postgres.dsn(Role.OWNER, name), crowd)
        assert (await crowd.event()).relation is not None
        await crowd.assert_whole()
    return crowd


async def kill_postgres(postgres: EmbeddedPostgres, vision: Any, point: int) -> Crowd:
    name = f"postgres_{point}"
    async with fresh(postgres, name) as settings, open_database(settings) as pool:
        crowd = await Crowd.gathered(pool, "gala", PHOTOS, FACES)
        operation = await crowd.operations.open(await crowd.event())
        serving = BUILDING.model_copy(update={"database": settings})
        async with indexer.app.running(serving, vision, QUICK):
            async with writing(crowd):
                await until_the_moment(crowd, operation.operation_id, point)
                await asyncio.to_thread(kill_and_restart, postgres)
                await look(crowd, operation.operation_id)
            await until_done(crowd, operation.operation_id)
            await until_tidy(postgres.dsn(Role.OWNER, name), crowd)
        assert (await crowd.event()).relation is not None
        await crowd.assert_whole()
    return crowd


@pytest.mark.timeout(600)
async def test_an_indexer_is_killed(
    mortal: EmbeddedPostgres, vision: Any, tmp_path: Path, long: bool, figure: Any
) -> None:
    crowds = [
        await kill_an_indexer(mortal, vision, tmp_path / str(point), point)
        for point in range(LONG if long else SHORT)
    ]
    figure(
        "Indexer killed while building a graph",
        done="SIGKILL somewhere in each phase, while photos come and go",
        **told(crowds),
    )


@pytest.mark.timeout(600)
async def test_postgres_is_killed(
    mortal: EmbeddedPostgres, vision: Any, long: bool, figure: Any
) -> None:
    crowds = [
        await kill_postgres(mortal, vision, point) for point in range(LONG if long else SHORT)
    ]
    figure(
        "Postgres killed while a graph is built",
        done="SIGKILL of all of it somewhere in each phase, while photos come and go",
        **told(crowds),
    )


def told(crowds: list[Crowd]) -> dict[str, int]:
    """What came of it: each crowd was found whole, and its graph finished."""
    return {
        "kills": len(crowds),
        "graphs_finished": len(crowds),
        "photos_acknowledged_and_there": sum(len(crowd.kept) for crowd in crowds),
    }
