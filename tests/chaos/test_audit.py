"""The audit of the other tests sees what it looks for."""

from pathlib import Path
from typing import Any

import asyncpg
import pytest
from audit import Audit
from facepass import AsyncClient
from journal import Journal, stories
from seeded_client import SeededClient


@pytest.mark.parametrize(
    ("damage", "lost", "orphans", "said"),
    [
        ("SELECT", False, False, ""),
        ("DELETE FROM photo WHERE photo_no = 1 AND event_id > 0", True, True, "is there 0 times"),
        ("DELETE FROM face WHERE face_no = 1 AND event_id > 0", False, False, "not ("),
        ("UPDATE photo SET sha256 = '' WHERE photo_no = 1", False, False, "not ("),
        ("UPDATE face SET photo_no = 900 WHERE face_no = 1", False, True, "orphan faces {1}"),
        ("UPDATE event SET faces = faces + 1", False, False, "counted"),
        ("UPDATE event SET next_photo_no = 2", False, False, "never gave"),
        ("UPDATE photo SET photo_id = 'x' WHERE photo_no = 1", True, False, "came from nowhere"),
    ],
)
async def test_damage_is_seen(
    servers: Any, database: Any, tmp_path: Path, damage: str, lost: bool, orphans: bool, said: str
) -> None:
    journal = Journal(tmp_path / "journal.jsonl", 1)
    async with AsyncClient(
        indexer=servers.indexer_address, searcher=servers.searcher_address
    ) as client:
        await client.create_event("gala")
        await SeededClient(client, "gala", journal, 1).burst(10, lambda _: None)
        assert all(story.must_be_there for story in stories(journal.path))
        owner = await asyncpg.connect(database.owner_dsn)
        await owner.execute(damage)
        await owner.close()
        audit = await Audit.of(journal.path, database.owner_dsn, client, "gala")
    assert (audit.lost > 0, audit.orphans > 0) == (lost, orphans), audit.wrong
    assert any(said in each for each in audit.wrong) if said else audit.wrong == []
