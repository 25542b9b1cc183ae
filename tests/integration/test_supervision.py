"""A standalone's Postgres that ends unasked."""

import asyncio
import logging
import random
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from patience import until
from postgres_family import Fault, PostgresFamily
from server_process import left_of

from standalone.embedded import EmbeddedPostgres
from standalone.supervision import keep_running


@pytest.fixture
async def postgres() -> AsyncIterator[EmbeddedPostgres]:
    folder = Path(tempfile.mkdtemp(prefix="facepass-test-"))
    started = EmbeddedPostgres(folder)
    await asyncio.to_thread(started.start)
    yield started
    await asyncio.to_thread(started.stop)
    shutil.rmtree(folder)


async def test_it_is_started_again_once_that_is_possible(
    postgres: EmbeddedPostgres, caplog: pytest.LogCaptureFixture
) -> None:
    family = PostgresFamily(postgres.data_dir)
    control = postgres.data_dir / "postgres/global/pg_control"
    aside = control.with_name("aside")
    supervision = asyncio.create_task(keep_running(postgres))
    try:
        with caplog.at_level(logging.INFO, "standalone.supervision"):
            control.rename(aside)
            family.strike(Fault.GROUP, random.Random())
            await until(lambda: "db_not_restarted" in _actions(caplog))
            assert not postgres.running
            aside.rename(control)
            await until(lambda: "db_restarted" in _actions(caplog))
        connection = await asyncpg.connect(postgres.server_dsn)
        await connection.close()
        assert len(family.postmasters()) == 1
    finally:
        supervision.cancel()
        await asyncio.wait([supervision])


async def test_a_stop_in_the_midst_of_it_leaves_nothing_running(
    postgres: EmbeddedPostgres,
) -> None:
    family = PostgresFamily(postgres.data_dir)
    for fault in (Fault.POSTMASTER, Fault.GROUP):
        supervision = asyncio.create_task(keep_running(postgres))
        before = family.processes()
        family.strike(fault, random.Random())
        await until(lambda: bool(family.postmasters()))
        supervision.cancel()
        await asyncio.wait([supervision])
        await asyncio.to_thread(postgres.stop)
        assert left_of([*before, *family.processes()], 0.0) == []
        assert not postgres.running
        await asyncio.to_thread(postgres.start)


def _actions(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [getattr(record, "action", "") for record in caplog.records]
