"""Postgres is killed while a standalone indexes: it comes back by itself, and nothing is lost."""

import asyncio
import random
import re
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from audit import Audit
from facepass import AsyncClient
from journal import Journal
from postgres_family import Fault, PostgresFamily
from seeded_client import SeededClient
from server_process import ServerProcess, Started

from standalone.embedded import EmbeddedPostgres

PHOTOS = 40
KILLS_OF_AN_EVENT = 20
DAMAGE = re.compile(r"PANIC|invalid page|checksum|corrupt|could not read block|unexpected data")
# A graph is built as soon as an event has some faces, and searches use it.
EARLY_GRAPHS = {
    "PROMOTION__HNSW_MIN_FACES": "200",
    "PROMOTION__QUIET_S": "0.1",
    "PROMOTION__INTERVAL_S": "0.2",
    "GALLERY__MEMORY_BYTES": "0",
}


class Household:
    """A standalone, its Postgres, and a client of both servers."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.choice = random.Random(seed)
        self.server = ServerProcess(
            "standalone", folder, f"--data-dir={folder / 'data'}", variables=EARLY_GRAPHS
        )
        self.postgres = PostgresFamily(folder / "data")

    async def start(self) -> Started:
        started = self.server.start()
        await started.ready()
        return started

    def client(self) -> AsyncClient:
        return AsyncClient(indexer=self.server.indexer, searcher=self.server.searcher)

    def owner_dsn(self) -> str:
        postgres = EmbeddedPostgres(self.folder / "data")
        postgres.attach()
        return postgres.owner_dsn


async def strike_midway(house: Household, client: SeededClient, fault: Fault) -> float:
    """Index a burst of photos, in the midst of which Postgres is struck; returns after how many
    seconds the next photo was answered."""
    moment = house.choice.randrange(1, PHOTOS // 2)
    struck = asyncio.Event()
    answers: list[float] = []

    def answered(count: int) -> None:
        answers.append(time.monotonic())
        if count == moment:
            struck.set()

    async def strike() -> float:
        await struck.wait()
        await asyncio.sleep(house.choice.random() * 0.02)
        await asyncio.to_thread(house.postgres.strike, fault, house.choice)
        return time.monotonic()

    _, at = await asyncio.gather(client.burst(PHOTOS, answered), strike())
    return min((each for each in answers if each > at), default=at) - at


async def kill(house: Household, event: str, faults: list[Fault], seed: int) -> tuple[Audit, float]:
    """Strike an event's indexing by each fault in turn, then look at what is there."""
    longest_s = 0.0
    journal = Journal(house.folder / f"{event}.jsonl", seed)
    async with house.client() as client:
        await client.create_event(event)
        seeded = SeededClient(client, event, journal, seed)
        for fault in faults:
            longest_s = max(longest_s, await strike_midway(house, seeded, fault))
        journal.close()
        audit = await Audit.of(journal.path, house.owner_dsn(), client, event)
    audit.assert_clean()
    return audit, longest_s


@pytest.mark.timeout(800)
async def test_postgres_is_killed_while_indexing(
    long: bool, seed: int, figure: Any, evidence: Callable[[], AbstractContextManager[Path]]
) -> None:
    kills = list(Fault) * (25 if long else 1)
    with evidence() as folder:
        house = Household(folder, seed)
        house.choice.shuffle(kills)
        standalone = await house.start()
        audits, pauses = [], []
        try:
            for number, start in enumerate(range(0, len(kills), KILLS_OF_AN_EVENT)):
                some = kills[start : start + KILLS_OF_AN_EVENT]
                audit, longest_s = await kill(house, f"event-{number}", some, seed + number)
                audits.append(audit)
                pauses.append(longest_s)
            assert standalone.exit_code is None
        finally:
            standalone.end()
        said, log = house.server.said(), house.postgres.log()
        # Each strike struck: Postgres said so, or was started again.
        wanted = Counter(fault.ends_it for fault in kills)
        assert said.count('"db_restarted"') == wanted[True]
        assert log.count("was terminated by signal 9") >= wanted[False]
        assert not DAMAGE.search(log), DAMAGE.findall(log)
    figure(
        "Postgres killed while indexing",
        done=f"{', '.join(each.value for each in Fault)}, at random moments",
        kills=len(kills),
        photos_acknowledged=sum(audit.acknowledged for audit in audits),
        lost=sum(audit.lost for audit in audits),
        twice=sum(audit.twice for audit in audits),
        orphan_faces=sum(audit.orphans for audit in audits),
        longest_pause_s=round(max(pauses), 1),
    )
