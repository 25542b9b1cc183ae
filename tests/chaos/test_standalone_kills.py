"""A standalone is killed while it indexes, and two are started in its place: one takes the data
over, the other refuses."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from audit import Audit
from burst import struck_midway
from facepass import AsyncClient
from journal import Journal
from patience import until
from postgres_family import Fault, PostgresFamily
from seeded_client import SeededClient
from server_process import ServerProcess, Started, left_of

from standalone.embedded import EmbeddedPostgres

pytestmark = pytest.mark.takes(85)

OTHER_PORTS = ("--indexer-listen=127.0.0.1:0", "--searcher-listen=127.0.0.1:0")


class Successors:
    """The standalone that serves now, and how it came to."""

    def __init__(self, server: ServerProcess, family: PostgresFamily) -> None:
        self._server = server
        self._family = family
        self.serving = server.start()
        self.refused = 0

    async def replace(self, *, with_postgres: bool) -> None:
        """Kill the one that serves, or all there is, and start two at once."""
        workers = self.serving.kill()
        if with_postgres:
            await asyncio.to_thread(self._family.strike, Fault.GROUP, random.Random())
        both = [self._server.start(), self._server.start()]
        await until(lambda: any(each.serves for each in both))
        self.serving, other = sorted(both, key=lambda each: not each.serves)
        # It asks for its ports before the folder: one with ports of its own is kept out by that.
        await self._is_refused(other, "cannot listen on")
        await self._is_refused(self._server.start(*OTHER_PORTS), "is in use by")
        assert left_of(workers, 0.0) == []

    async def _is_refused(self, other: Started, why: str) -> None:
        await until(lambda: other.exit_code is not None)
        said = other.log.read_text()
        assert other.exit_code == 1 and why in said, said
        assert "Traceback" not in said
        self.refused += 1


@asynccontextmanager
async def watched(family: PostgresFamily) -> AsyncIterator[None]:
    """There are never two postmasters for as long as the context lasts."""

    async def watch() -> None:
        while True:
            found = await asyncio.to_thread(family.postmasters)
            assert len(found) <= 1, found
            await asyncio.sleep(0.1)

    watching = asyncio.create_task(watch())
    try:
        yield
        assert not watching.done(), watching.exception()
    finally:
        watching.cancel()
        await asyncio.wait([watching])


@pytest.mark.timeout(400)
async def test_a_standalone_is_killed_and_started_twice(
    long: bool, seed: int, figure: Any, evidence: Callable[[], AbstractContextManager[Path]]
) -> None:
    kills, choice = 10 if long else 2, random.Random(seed)
    with evidence() as folder:
        data = folder / "data"
        server = ServerProcess("standalone", folder, f"--data-dir={data}", variables={})
        family = PostgresFamily(data)
        successors = Successors(server, family)
        try:
            await successors.serving.ready()
            journal = Journal(folder / "gala.jsonl", seed)
            async with AsyncClient(indexer=server.indexer, searcher=server.searcher) as client:
                await client.create_event("gala")
                seeded = SeededClient(client, "gala", journal, seed)
                async with watched(family):
                    for number in range(kills):
                        strike = partial(successors.replace, with_postgres=number % 2 == 1)
                        await struck_midway(seeded, choice, strike)
                postgres = EmbeddedPostgres(data)
                postgres.attach()
                audit = await Audit.of(journal.path, postgres.owner_dsn, client, "gala")
                audit.assert_clean()
                await seeded.settle()
        finally:
            server.end()
        assert family.processes() == []
    figure(
        "Standalone killed and started twice",
        done="SIGKILL of it, or of it and its Postgres, while indexing; then two at once",
        kills=kills,
        starts_refused=successors.refused,
        **Audit.told([audit]),
    )
