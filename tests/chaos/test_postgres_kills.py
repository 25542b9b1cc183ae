"""Postgres is killed while a standalone indexes: it comes back by itself, and nothing is lost."""

import asyncio
import random
import re
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from audit import Audit
from burst import struck_midway
from facepass import AsyncClient
from journal import Journal
from postgres_family import Fault, PostgresFamily
from seeded_client import SeededClient
from server_process import ServerProcess

from standalone.embedded import EmbeddedPostgres

pytestmark = pytest.mark.takes(116)

KILLS_OF_AN_EVENT = 20
DAMAGE = re.compile(r"PANIC|invalid page|checksum|corrupt|could not read block|unexpected data")
# A graph is built as soon as an event has some faces, and searches use it.
EARLY_GRAPHS = {
    "PROMOTION__HNSW_MIN_FACES": "100",
    "PROMOTION__QUIET_S": "0.1",
    "PROMOTION__INTERVAL_S": "0.2",
    "GALLERY__MEMORY_BYTES": "0",
}


async def kill_and_audit(
    client: AsyncClient, journal: Journal, seed: int, data_dir: Path, faults: list[Fault]
) -> tuple[Audit, float]:
    """Strike a new event's indexing by each fault in turn, then look at what is there; with the
    longest pause between two answers."""
    event, choice = journal.path.stem, random.Random(seed)
    await client.create_event(event)
    seeded, family = SeededClient(client, event, journal, seed), PostgresFamily(data_dir)
    pauses = []
    for fault in faults:

        async def strike(fault: Fault = fault) -> None:
            await asyncio.to_thread(family.strike, fault, choice)

        pauses.append(await struck_midway(seeded, choice, strike))
    postgres = EmbeddedPostgres(data_dir)
    postgres.attach()
    audit = await Audit.of(journal.path, postgres.owner_dsn, client, event)
    audit.assert_clean()
    await seeded.settle()
    return audit, max(pauses)


@pytest.mark.timeout(800)
async def test_postgres_is_killed_while_indexing(
    long: bool, seed: int, figure: Any, evidence: Callable[[], AbstractContextManager[Path]]
) -> None:
    kills = list(Fault) * (25 if long else 1)
    random.Random(seed).shuffle(kills)
    with evidence() as folder:
        data = folder / "data"
        server = ServerProcess("standalone", folder, f"--data-dir={data}", variables=EARLY_GRAPHS)
        standalone = server.start()
        audits, pauses = [], []
        try:
            await standalone.ready()
            async with AsyncClient(indexer=server.indexer, searcher=server.searcher) as client:
                for start in range(0, len(kills), KILLS_OF_AN_EVENT):
                    journal = Journal(folder / f"event-{start}.jsonl", seed + start)
                    faults = kills[start : start + KILLS_OF_AN_EVENT]
                    audit, pause_s = await kill_and_audit(
                        client, journal, seed + start, data, faults
                    )
                    audits.append(audit)
                    pauses.append(pause_s)
            assert standalone.exit_code is None
        finally:
            server.end()
        # Each strike struck: Postgres said so, or was started again.
        said, log = server.said(), PostgresFamily(data).log()
        wanted = Counter(fault.ends_it for fault in kills)
        assert said.count('"db_restarted"') == wanted[True]
        assert log.count("was terminated by signal 9") >= wanted[False]
        assert not DAMAGE.search(log), DAMAGE.findall(log)
    figure(
        "Postgres killed while indexing",
        done=f"{', '.join(each.value for each in Fault)}, at random moments",
        kills=len(kills),
        **Audit.told(audits),
        longest_pause_s=round(max(pauses), 1),
    )
