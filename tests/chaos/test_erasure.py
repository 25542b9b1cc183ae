"""Two Searchers in processes of their own, one of them stopped now and then: what was erased is
found nowhere from the acknowledgement on, and is not in their memory."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from erasing import hits_in_memory, templates_of
from facepass import AsyncClient, PhotoSource
from facepass.v1 import searcher_pb2, types_pb2
from server_process import ServerProcess, Started

import indexer.app
from common.vision.fake.engine import FakeEngine
from common.vision.fake.photos import fake_photo
from indexer.config import IndexerServerSettings, IndexerSettings

pytestmark = pytest.mark.takes(120)

PEOPLE = range(10, 26)
SHOTS, PROBE_SHOT = 3, 7
STAYS = 25
SHORT, LONG = 2, 12
PATIENCE_S = 60


def probe(person: int) -> types_pb2.Embedding:
    """A person as in none of the photos, so that the probe is no template that is looked for."""
    vector = FakeEngine().embedding(person, PROBE_SHOT)
    return types_pb2.Embedding(values=vector.tolist(), pack=FakeEngine().pack.key)


async def found(client: AsyncClient, person: int) -> int:
    return len((await client.search("gala", probe(person))).matches)


async def until_hot(client: AsyncClient) -> None:
    """Search until the event is in the Searcher's memory; never for who is to be erased."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            answer = await client.search("gala", probe(STAYS))
            if answer.source == searcher_pb2.SEARCH_SOURCE_MEMORY:
                return
            await asyncio.sleep(0.05)


@asynccontextmanager
async def searcher(folder: Path, dsn: str, indexer_address: str) -> AsyncIterator[Any]:
    """A Searcher, and a client of it and of the Indexer."""
    process = ServerProcess("searcher", folder, variables={"DATABASE__DSN": dsn})
    started = process.start()
    try:
        await started.ready()
        async with AsyncClient(indexer=indexer_address, searcher=process.searcher) as client:
            yield started, client
    finally:
        os.kill(started.pid, signal.SIGCONT)
        started.end()


async def fill(client: AsyncClient) -> None:
    await client.create_event("gala")
    photos = [
        PhotoSource(f"{shot}-{first}", fake_photo([*range(first, first + 4)], shot=shot))
        for shot in range(SHOTS)
        for first in PEOPLE[::4]
    ]
    async for result in client.index_photos("gala", photos):
        assert result.state == types_pb2.PHOTO_STATE_INDEXED


async def left_in_memory(started: Started, person: int, within_s: float) -> int:
    """How much of a person is in the Searcher's memory after so many seconds, if not nothing."""
    deadline_s = asyncio.get_running_loop().time() + within_s
    while hits := hits_in_memory(started.pid, templates_of([person], range(SHOTS))):
        if asyncio.get_running_loop().time() > deadline_s:
            return hits
        await asyncio.sleep(0.05)
    return 0


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_no_searcher_has_who_was_erased(
    database: Any, vision: Any, tmp_path: Path, long: bool, figure: Any
) -> None:
    settings = IndexerSettings(
        database=database.settings,
        indexer=IndexerServerSettings(listen="127.0.0.1:0", metrics_listen=""),
    )
    erased, stopped = 0, 0
    async with indexer.app.running(settings, vision) as server:
        address = f"127.0.0.1:{server.port}"
        async with (
            searcher(tmp_path / "one", database.server_dsn, address) as (one, first),
            searcher(tmp_path / "two", database.server_dsn, address) as (two, second),
        ):
            await fill(first)
            for number, person in enumerate(PEOPLE[: LONG if long else SHORT]):
                await asyncio.gather(until_hot(first), until_hot(second))
                templates = templates_of([person], range(SHOTS))
                assert hits_in_memory([one, two][number % 2].pid, templates)
                stop = number % 2 == 1
                if stop:
                    os.kill(two.pid, signal.SIGSTOP)
                selfie = fake_photo([person], shot=PROBE_SHOT)
                await first.erase_person("gala", selfie)
                if stop:
                    os.kill(two.pid, signal.SIGCONT)
                answers = await asyncio.gather(*[found(each, person) for each in (first, second)])
                assert answers == [0, 0]
                # Stopped, it could not: it does as the first thing once it goes on.
                waits = 0, 2 if stop else 0
                pairs = zip((one, two), waits, strict=True)
                left = [await left_in_memory(each, person, wait) for each, wait in pairs]
                assert left == [0, 0], f"of {person}, {'stopped' if stop else 'not stopped'}"
                assert await found(second, STAYS) == SHOTS
                erased, stopped = erased + 1, stopped + stop
    figure(
        "Person erased",
        page="security",
        done="ErasePerson with two Searchers, one stopped every other time; their memory was read",
        people=erased,
        searcher_stopped=stopped,
        found_after_acknowledgement=0,
        templates_left_in_memory=0,
    )
