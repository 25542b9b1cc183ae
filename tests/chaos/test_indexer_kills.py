"""An Indexer is killed in the midst of a stream: its client goes on with the next one, and its
workers do not outlive it."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from audit import Audit
from burst import struck_midway
from facepass import AsyncClient
from journal import Journal
from pydantic import SecretStr
from seeded_client import SeededClient
from server_process import ServerProcess, left_of

import searcher.app
from common.config import DatabaseSettings
from common.db.migrate import migrate
from searcher.config import SearcherServerSettings, SearcherSettings
from standalone.embedded import EmbeddedPostgres

pytestmark = pytest.mark.takes(175)

WORKERS = 2
WORKERS_END_WITHIN_S = 5.0


@asynccontextmanager
async def searching(dsn: str, vision: Any) -> AsyncIterator[str]:
    """A Searcher; its address."""
    settings = SearcherSettings(
        database=DatabaseSettings(dsn=SecretStr(dsn)),
        searcher=SearcherServerSettings(listen="127.0.0.1:0", metrics_listen=""),
    )
    async with searcher.app.running(settings, vision) as server:
        yield f"127.0.0.1:{server.port}"


class Mortal:
    """An Indexer that is killed and started anew. `outlived`: workers that did not notice in
    time."""

    def __init__(self, server: ServerProcess) -> None:
        self._server = server
        self._run = server.start()
        self.address = server.indexer
        self.outlived = 0

    async def ready(self) -> None:
        await self._run.ready()

    async def die_and_return(self) -> None:
        workers = self._run.kill()
        assert len(workers) == WORKERS
        self._run = self._server.start()
        self.outlived += len(await asyncio.to_thread(left_of, workers, WORKERS_END_WITHIN_S))


@pytest.mark.timeout(800)
async def test_an_indexer_is_killed_in_the_midst_of_a_stream(
    long: bool,
    seed: int,
    figure: Any,
    vision: Any,
    evidence: Callable[[], AbstractContextManager[Path]],
) -> None:
    kills, choice = 50 if long else 2, random.Random(seed)
    with evidence() as folder, EmbeddedPostgres(folder / "data") as postgres:
        await migrate(postgres.owner_dsn)
        variables = {"DATABASE__DSN": postgres.server_dsn, "ENGINE__WORKERS": str(WORKERS)}
        server = ServerProcess("indexer", folder, variables=variables)
        mortal = Mortal(server)
        try:
            await mortal.ready()
            journal = Journal(folder / "gala.jsonl", seed)
            async with (
                searching(postgres.server_dsn, vision) as searcher_address,
                AsyncClient(indexer=mortal.address, searcher=searcher_address) as client,
            ):
                await client.create_event("gala")
                seeded = SeededClient(client, "gala", journal, seed)
                for _ in range(kills):
                    await struck_midway(seeded, choice, mortal.die_and_return)
                    await mortal.ready()
                audit = await Audit.of(journal.path, postgres.owner_dsn, client, "gala")
                audit.assert_clean()
                await seeded.settle()
            assert mortal.outlived == 0
        finally:
            server.end()
    figure(
        "Indexer killed in the midst of a stream",
        done="SIGKILL; the client library goes on with the Indexer that is started next",
        kills=kills,
        **Audit.told([audit]),
        workers_left_after_5_s=mortal.outlived,
    )
