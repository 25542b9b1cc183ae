"""`facepass erase` and `facepass erasures`, and the client's methods behind them."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import facepass
import pytest
from facepass.cli.main import main
from facepass.v1 import erasures_pb2

from common.vision.fake.photos import fake_photo

Run = Callable[..., Awaitable[int]]
ANN, BEN = 7, 300


@pytest.fixture
async def run(servers: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command; Ann is in a.jpg and both.jpg. What indexing printed is forgotten."""

    async def command(*args: str) -> int:
        addresses = ["--indexer", servers.indexer_address, "--searcher", servers.searcher_address]
        return await asyncio.to_thread(main, [*addresses, *args])

    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "a.jpg").write_bytes(fake_photo([ANN], shot=1))
    (photos / "both.jpg").write_bytes(fake_photo([BEN, ANN], shot=2))
    (tmp_path / "ann.jpg").write_bytes(fake_photo([ANN], shot=3))
    assert await command("index", str(photos), "--event", "party", "--create") == 0
    capsys.readouterr()
    return command


async def test_a_person_is_erased(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    erase = ("erase", str(tmp_path / "ann.jpg"), "--event", "party")
    assert await run(*erase, "--dry-run") == 0
    said = capsys.readouterr().out
    assert "Would erase 2 faces from event party." in said and "events/party/photos/a.jpg" in said
    assert await run(*erase, "--yes", "--json") == 0
    receipt = json.loads(capsys.readouterr().out)
    assert (receipt["kind"], receipt["faces"]) == ("ERASURE_KIND_PERSON", "2")
    assert await run("erasures", "--event", "party") == 0
    said = capsys.readouterr().out
    assert receipt["name"] in said and "person" in said and "2 faces" in said
    assert await run("erasures", receipt["name"]) == 0
    assert receipt["live_time"] in capsys.readouterr().out
    assert await run("search", str(tmp_path / "ann.jpg"), "--event", "party") == 0
    assert "a.jpg" not in capsys.readouterr().out
    assert await run(*erase) == 2  # nobody to ask


async def test_the_client_erases_and_suppresses(servers: Any, run: Run, tmp_path: Path) -> None:
    async with facepass.AsyncClient(
        indexer=servers.indexer_address, searcher=servers.searcher_address
    ) as client:
        photo = await client.get_photo("party", "a.jpg")
        until = datetime.now(UTC) + timedelta(hours=1)
        operation = await client.erase_person("party", photo.faces[0].name, suppress=until)
        told = erasures_pb2.ErasePersonMetadata()
        assert operation.metadata.Unpack(told)
        assert told.erasure.suppress_until.ToDatetime(UTC) == until
        assert [each async for each in client.list_erasures("party")] == [told.erasure]
        assert await client.get_erasure(told.erasure.name) == told.erasure
        later = facepass.PhotoSource("later", fake_photo([ANN, BEN], shot=4))
        result = await client.index_photo("party", later)
        assert len(result.photo.faces) == len(result.photo.unindexed_faces) == 1
        with pytest.raises(ValueError, match="time zone"):
            await client.erase_person("party", photo.faces[0].name, suppress=datetime.now())
