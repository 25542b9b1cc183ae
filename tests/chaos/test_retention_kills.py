"""An event's time is over, and the Indexer that removes it is killed half-way, again and again:
whoever comes next goes on, until neither rows nor files have anything of it."""

import asyncio
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from crowd import Crowd
from erasing import hits_in_files
from facepass import AsyncClient
from facepass.v1 import erasures_pb2
from patience import PATIENCE_S
from server_process import ServerProcess

from common.db.codec import register_codecs
from common.db.opening import open_database
from indexer.erasure.event_removal_repository import _AT_A_TIME

PHOTOS, FACES = 120, 150
"""So many faces that they go in nine steps."""
STEPS = 2
"""That are done before the next kill."""
HOLD = "SELECT FROM face WHERE event_id = $1 AND face_no = $2 FOR UPDATE"
LOOKED_FOR = 8
TABLES = ("event", "photo", "face", "tombstone", "ingest", "suppression", "relation")


async def count(owner: asyncpg.Connection, table: str, key: int) -> int:
    return int(await owner.fetchval(f"SELECT count(*) FROM {table} WHERE event_id = $1", key))


async def until_left(owner: asyncpg.Connection, key: int, left: int) -> None:
    """Wait until there are no more faces than that."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if await count(owner, "face", key) <= left:
                return
            await asyncio.sleep(0.01)


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_the_job_is_killed_half_way(
    database: Any, postgres: Any, tmp_path: Path, long: bool
) -> None:
    kills = 4 if long else 2
    async with open_database(database.settings) as pool:
        crowd = await Crowd.gathered(pool, "gala", PHOTOS, FACES)
    key, left = crowd.name.key, PHOTOS * FACES
    owner = await asyncpg.connect(database.owner_dsn)
    await register_codecs(owner)
    variables = {
        "DATABASE__DSN": database.server_dsn,
        "RETENTION__INTERVAL_S": "0.2",
        "ERASURE__INTERVAL_S": "0.2",
    }
    server = ServerProcess("indexer", tmp_path / "indexer", variables=variables)
    try:
        sample = await owner.fetch(
            "SELECT embedding FROM face WHERE event_id = $1 AND face_no % $2 = 1",
            key,
            left // LOOKED_FOR,
        )
        templates = [row["embedding"] for row in sample]
        assert len(templates) == LOOKED_FOR
        folder = Path(postgres.data_dir)
        assert hits_in_files(folder, templates)
        await owner.execute("UPDATE event SET expire_time = now() WHERE event_id = $1", key)
        for number in range(1, kills + 1):
            left -= STEPS * _AT_A_TIME
            # A lock that the job comes upon in its next step but so many.
            held = number * STEPS * _AT_A_TIME + _AT_A_TIME // 2
            async with owner.transaction():
                await owner.execute(HOLD, key, held)
                run = server.start()
                await until_left(owner, key, left)
                run.kill()
            assert await count(owner, "face", key) == left > 0
            assert await count(owner, "event", key) == 1, "its own row goes last"
        run = server.start()
        await run.ready()
        async with AsyncClient(indexer=server.indexer) as client, asyncio.timeout(PATIENCE_S):
            while True:
                told = [each async for each in client.list_erasures()]
                if told and told[0].HasField("physical_time"):
                    break
                await asyncio.sleep(0.1)
        (receipt,) = told
        assert receipt.kind == erasures_pb2.ERASURE_KIND_EXPIRY
        assert (receipt.event, receipt.photos, receipt.faces) == (
            "events/gala",
            PHOTOS,
            PHOTOS * FACES,
        )
        assert {table: await count(owner, table, key) for table in TABLES} == dict.fromkeys(
            TABLES, 0
        )
        assert hits_in_files(folder, templates) == {}
    finally:
        server.end()
        await owner.close()
