"""An older state of the database, with the erasures since made again, holds what the newer holds;
and numbers of what was erased are never given again."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import grpc
import pytest
from facepass.v1 import erasures_pb2, indexer_pb2
from given_citus import GivenCitus
from google.protobuf import duration_pb2
from large_events import delete, delete_event, fill, indexing, optimize, put

from common.config import DatabaseSettings
from common.names import EventName
from common.vision.fake.photos import fake_photo
from indexer.config import ErasureSettings
from indexer.erasure.journal import ErasureJournal
from standalone.cli import run
from standalone.embedded import Role

GONE = 10
STATE = {
    "photos": "SELECT photo_no, photo_id FROM photo WHERE event_id = $1 ORDER BY 1",
    "faces": "SELECT face_no, photo_no FROM face WHERE event_id = $1 ORDER BY 1",
    "event": "SELECT photos_indexed, photos_rejected, faces FROM event WHERE event_id = $1",
    "receipts": "SELECT erasure_id, kind, subject, photos, faces, digest, suppress_until,"
    " create_time, photo_numbers, face_numbers FROM erasure WHERE event_id = $1 ORDER BY 1",
}


class Copies:
    """Copies of the test's database as it is now; nobody may be connected to it."""

    def __init__(self, postgres: Any, source: str) -> None:
        self._postgres = postgres
        self._source = source
        self.names: list[str] = []

    def make(self) -> str:
        name = f"t_{uuid4().hex[:12]}"
        self._postgres.create_database(name, template=self._source)
        self.names.append(name)
        return name

    def dsn(self, name: str, role: Role) -> str:
        return str(self._postgres.dsn(role, name))


@pytest.fixture
def copies(postgres: Any, database: Any) -> Iterator[Copies]:
    if isinstance(postgres, GivenCitus):
        pytest.skip("a distributed database is no template")
    made = Copies(postgres, database.name)
    yield made
    for name in made.names:
        postgres.drop_database(name)


async def state(dsn: str, event: str, relation: int | None = None) -> dict[str, list[Any]]:
    connection = await asyncpg.connect(dsn)
    try:
        key = EventName(event).key
        found = {name: await connection.fetch(sql, key) for name, sql in STATE.items()}
        own = await connection.fetchval("SELECT relation FROM event WHERE event_id = $1", key)
        if own is not None:
            table = f"ev_{own}.face"
            found["own"] = await connection.fetch(f"SELECT face_no FROM {table} ORDER BY 1")
        return found
    finally:
        await connection.close()


async def erase(servers: Any) -> None:
    """In every way, of both events and of one that is deleted as a whole."""
    for event in ("gala", "ball"):
        person = erasures_pb2.ErasePersonRequest(
            event=f"events/{event}",
            image=fake_photo([GONE], shot=5),
            suppress_for=duration_pb2.Duration(seconds=86_400),
        )
        await servers.indexer.ErasePerson(person)
        await delete(servers, event, "1-14")
        await put(servers, event, "late", [40, 41], 0)
        await delete(servers, event, "late")
        photo = indexer_pb2.GetPhotoRequest(name=f"events/{event}/photos/2-18")
        face = (await servers.indexer.GetPhoto(photo)).photo.faces[0]
        await servers.indexer.DeleteFace(indexer_pb2.DeleteFaceRequest(name=face.name))
    await delete_event(servers, "fair")


@pytest.mark.slow
async def test_an_older_state_comes_to_the_newer_one(
    database: Any, vision: Any, serving: Any, copies: Copies, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    path = tmp_path / "erasures.jsonl"
    settings = indexing().model_copy(update={"erasure": ErasureSettings(journal=str(path))})
    async with serving(database.settings, vision, indexer_settings=settings) as servers:
        for event in ("gala", "ball", "fair"):
            await fill(servers, event)
        await optimize(servers, "ball")
    older = copies.make()
    async with serving(database.settings, vision, indexer_settings=settings) as servers:
        await erase(servers)
        # Noted by the time that they were answered.
        assert len(ErasureJournal(path).read()) == 9
    monkeypatch.setenv("FACEPASS_DATABASE__DSN", copies.dsn(older, Role.SERVER))
    for missing in (9, 0):
        assert await asyncio.to_thread(run, ["reapply", str(path)]) == 0
        told = capsys.readouterr().out
        assert f"{missing} erasures were missing" in told
        assert told.count("ask for it again") == (2 if missing else 0)
    for event in ("gala", "ball", "fair"):
        was = await state(database.owner_dsn, event)
        assert await state(copies.dsn(older, Role.OWNER), event) == was
        assert bool(was["photos"]) == (event != "fair")
    older_settings = DatabaseSettings(dsn=copies.dsn(older, Role.SERVER))  # type: ignore[arg-type]
    async with serving(older_settings, vision, indexer_settings=settings) as servers:
        await put(servers, "gala", "new", [50], 0)
    numbers = {n for each in ErasureJournal(path).read() for n in each.photo_numbers}
    after = await state(copies.dsn(older, Role.OWNER), "gala")
    assert max(row["photo_no"] for row in after["photos"]) > max(numbers)


async def test_a_journal_that_cannot_be_written_holds_the_answer_up(
    database: Any, vision: Any, serving: Any, tmp_path: Path
) -> None:
    path = tmp_path / "journal" / "erasures.jsonl"
    path.parent.mkdir()
    settings = indexing().model_copy(update={"erasure": ErasureSettings(journal=str(path))})
    async with serving(database.settings, vision, indexer_settings=settings) as servers:
        await fill(servers, "gala")
        path.unlink()
        path.parent.rmdir()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await delete(servers, "gala", "1-14")
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        path.parent.mkdir()
        # Noted in the background as soon as that can be done.
        until = datetime.now(UTC) + timedelta(seconds=60)
        while not path.exists() or not ErasureJournal(path).read():
            assert datetime.now(UTC) < until
            await asyncio.sleep(0.05)
