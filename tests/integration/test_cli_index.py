"""`facepass index`: what arrives, what does not, and going on after a stop."""

import asyncio
import json
import logging
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from facepass import AsyncClient, PhotoSource, folder
from facepass.cli.index import not_yet_indexed
from facepass.cli.main import main
from facepass.cli.progress import Progress
from facepass.cli.tally import Tally

from common.vision.fake.photos import Command, fake_photo

Run = Callable[..., Awaitable[int]]


@pytest.fixture
def run(servers: Any) -> Run:
    """Runs the command against the test's indexing server; returns its exit code."""

    async def command(*args: str) -> int:
        return await asyncio.to_thread(main, ["--indexer", servers.indexer_address, *args])

    return command


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of three photos with four faces, and a text file."""
    (tmp_path / "day 1").mkdir()
    (tmp_path / "day 1" / "a.jpg").write_bytes(fake_photo([1, 2]))
    (tmp_path / "day 1" / "b.png").write_bytes(fake_photo([3], file_format="PNG"))
    (tmp_path / "c.webp").write_bytes(fake_photo([4], file_format="WEBP"))
    (tmp_path / "notes.txt").write_text("notes")
    return tmp_path


async def test_a_folder_is_indexed_and_indexed_again(
    run: Run, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run("index", str(photos), "--event", "party") == 1
    assert "facepass event create" in capsys.readouterr().err

    assert await run("index", str(photos), "--event", "party", "--create") == 0
    out, err = capsys.readouterr()
    assert "Indexed 3 photos with 4 faces" in out
    assert "Created event party" in err
    assert "1 other file" in err

    assert await run("index", str(photos), "--event", "party", "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    counts = {key: summary[key] for key in ("photos", "indexed", "duplicates", "not_reached")}
    assert counts == {"photos": 3, "indexed": 0, "duplicates": 3, "not_reached": 0}


async def test_photos_that_cannot_be_indexed_are_named_with_the_reason(
    run: Run, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "broken.jpg").write_bytes((photos / "day 1" / "a.jpg").read_bytes()[:3000])
    assert await run("index", str(photos), "--event", "party", "--create", "--json") == 3
    summary = json.loads(capsys.readouterr().out)
    assert summary["indexed"] == 3
    [rejected] = summary["rejected"]
    assert rejected["reason"] == "IMAGE_TRUNCATED"
    assert rejected["file"] == str(photos / "broken.jpg")

    assert await run("index", str(photos), "--event", "party") == 3
    out = capsys.readouterr().out
    assert "3 already there" in out
    assert "1 rejected" in out
    assert "IMAGE_TRUNCATED" in out


async def test_a_changed_photo_takes_the_old_ones_place_only_when_asked(
    run: Run, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await run("index", str(photos), "--event", "party", "--create")
    (photos / "c.webp").write_bytes(fake_photo([5], file_format="WEBP"))
    assert await run("index", str(photos), "--event", "party") == 3
    assert "PHOTO_ID_CONFLICT" in capsys.readouterr().out
    arguments = ["--replace", "--detail", "high", "--quality-filter", "none", "--max-faces", "5"]
    assert await run("index", str(photos), "--event", "party", *arguments) == 0
    assert "Indexed 1 photo with 1 face" in capsys.readouterr().out


async def test_a_folder_that_is_not_there(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run("index", str(tmp_path / "absent"), "--event", "party") == 1
    assert "absent: No such file or directory" in capsys.readouterr().err


def test_known_bytes_are_not_sent(photos: Path) -> None:
    found = folder(photos)
    first, second, third = (photo.hashed() for photo in found)
    known = {first.photo_id: first.sha256, second.photo_id: bytes(32)}
    tally = Tally("party", photos=3, skipped=0)
    with Progress(3, quiet=True) as progress:
        sent = list(not_yet_indexed(found, known, tally, progress))
    assert [photo.photo_id for photo in sent] == [second.photo_id, third.photo_id]
    assert (tally.known, tally.done) == (1, 1)
    assert isinstance(sent[0], PhotoSource) and sent[0].sha256 == second.sha256


async def test_ctrl_c_says_what_was_done_and_the_next_run_goes_on(
    servers: Any, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(30):
        content = fake_photo([number], command=Command.SLOW)
        (tmp_path / f"{number:02}.jpg").write_bytes(content)
    arguments = ["index", str(tmp_path), "--event", "party", "--create", "--json"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "facepass.cli.main", "--indexer", servers.indexer_address),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with AsyncClient(indexer=servers.indexer_address) as client:
        for _ in range(1000):
            if [photo async for photo in _photos(client)]:
                break
            await asyncio.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = await process.communicate()
    assert process.returncode == 130, err.decode()
    assert b"Run the same command again" in err
    assert b"Traceback" not in err
    summary = json.loads(out)
    assert 0 < summary["not_reached"] <= 30

    assert await run(*arguments) == 0
    assert json.loads(capsys.readouterr().out)["not_reached"] == 0
    async with AsyncClient(indexer=servers.indexer_address) as client:
        assert (await client.get_event("party")).counts.photos_indexed == 30


async def _photos(client: AsyncClient) -> Any:
    if [event async for event in client.list_events()]:
        async for photo in client.list_photos("party"):
            yield photo


def test_what_the_library_waits_for_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(3, quiet=True):
        logging.getLogger("facepass").warning("The server is \x1b[2J away.")
    err = capsys.readouterr().err
    assert "The server is" in err and "\x1b" not in err
