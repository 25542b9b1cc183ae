"""The sizes that docs/scaling.md computes with are those of a real database, to within a tenth."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import asyncpg
import numpy as np
import pytest

from bench.fill_repository import PACK
from bench.templates import DIMENSION, FACES_PER_PHOTO
from bench.writer import writing
from common.db.events import PackRegistry
from common.names import EventName
from common.template_rows import TemplateRows
from indexer.graphs.relation_repository import HNSW_M
from searcher.block import Block
from tools.capacity import PAGE, Capacity, Load, Machine, Sizes, Speeds, main

EVENTS, BATCHES, PHOTOS_OF_A_BATCH = 8, 4, 64
FACES = EVENTS * BATCHES * PHOTOS_OF_A_BATCH * FACES_PER_PHOTO
MANY = 4000
TENTH = 0.1
CREATE = """
INSERT INTO event (event_id, name, uid, display_name, location, quality_filter, detail, pack_id)
VALUES ($1, $2, gen_random_uuid(), '', '', 'AUTO', 'STANDARD', $3)
"""
CREATE_MANY = """
INSERT INTO event
       (event_id, name, uid, display_name, location, quality_filter, detail, template_key)
SELECT hashint8extended(n, 0), 'event-' || n, gen_random_uuid(), '', '', 'AUTO', 'STANDARD',
       '0123abcd'
  FROM generate_series(1, $1::bigint) AS n
"""
OWN_TABLE = "INSERT INTO relation VALUES (1, $1, gen_random_uuid(), 'BUILDING')"


@pytest.fixture
async def owner(database: Any) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database.owner_dsn)
    yield connection
    await connection.close()


async def index_faces(server_dsn: str, owner: asyncpg.Connection) -> list[EventName]:
    """Events of as many faces each, whose commits come by turns."""
    pack = await PackRegistry().register(owner, PACK)
    names = [EventName(f"event-{number}") for number in range(EVENTS)]
    for name in names:
        await owner.execute(CREATE, name.key, name.event, pack.pack_id)
    faces = np.random.default_rng(0).standard_normal((FACES, DIMENSION), dtype=np.float32)
    faces /= np.linalg.norm(faces, axis=1, keepdims=True)
    batches = iter(faces.reshape(-1, PHOTOS_OF_A_BATCH, FACES_PER_PHOTO, DIMENSION))
    async with AsyncExitStack() as stack:
        writers = [
            await stack.enter_async_context(writing(server_dsn, pack, name)) for name in names
        ]
        for _ in range(BATCHES):
            for writer in writers:
                await writer.write([writer.photo(photo) for photo in next(batches)])
    return names


async def size(owner: asyncpg.Connection, table: str) -> int:
    return int(await owner.fetchval("SELECT pg_total_relation_size($1::regclass)", table))


async def test_what_indexed_faces_take(database: Any, owner: asyncpg.Connection) -> None:
    before = await owner.fetchval("SELECT pg_current_wal_insert_lsn()")
    names = await index_faces(database.server_dsn, owner)
    log = await owner.fetchval("SELECT pg_current_wal_insert_lsn() - $1::pg_lsn", before)
    measured = {
        "face": await size(owner, "face") / FACES,
        "photo": await size(owner, "photo") / (FACES / FACES_PER_PHOTO),
        "log_face": float(log) / FACES,
    }
    await owner.execute(OWN_TABLE, names[0].key)
    await owner.execute("SELECT create_relation(1, $1)", DIMENSION)
    await owner.execute(
        "INSERT INTO ev_1.face SELECT * FROM face WHERE event_id = $1", names[0].key
    )
    await owner.execute("SELECT index_relation(1, $1, 100)", HNSW_M)
    measured["graph_face"] = await size(owner, "ev_1.face") / (FACES / EVENTS)
    assert measured == {name: pytest.approx(getattr(Sizes, name), rel=TENTH) for name in measured}


async def test_what_events_take(owner: asyncpg.Connection) -> None:
    await owner.execute(CREATE_MANY, MANY)
    rows = await owner.fetchval("SELECT pg_relation_size('event')")
    assert rows / MANY == pytest.approx(Sizes.event_row, rel=TENTH)
    assert await size(owner, "event") / MANY == pytest.approx(Sizes.event, rel=TENTH)


def test_what_faces_take_in_memory() -> None:
    block, numbers = Block(DIMENSION), np.arange(1, 1001, dtype=np.int32)
    halves = np.ones((1000, DIMENSION), dtype=np.float16)
    block.append(TemplateRows(numbers, numbers, halves))
    assert block.size_bytes / block.rows == Sizes.memory_face


def capacity(**load: Any) -> Capacity:
    return Capacity(Sizes(), Speeds(0.2, 0.002, 0.1), Load(**load), Machine())


def test_more_of_anything_never_needs_less() -> None:
    found = capacity()
    counts = [1, 10_000, 1_000_000]
    for needs in (found.disk, found.galleries, found.postgres_machines, found.searcher_machines):
        assert sorted(needs(count) for count in counts) == [needs(count) for count in counts]
    assert found.postgres_machines(1) == found.searcher_machines(1) == 1
    assert capacity(hot=1.0).searcher_machines(100_000) > found.searcher_machines(100_000)
    assert capacity(faces_per_event=50_000).face > capacity(faces_per_event=5_000).face


def test_the_page_is_what_the_command_computes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0
    assert main([]) == 0
    assert capsys.readouterr().out.strip() in PAGE.read_text()


def test_benchmarks_that_lack_a_row_are_told() -> None:
    with pytest.raises(LookupError, match="has nothing like"):
        Speeds.of_page("nothing")
