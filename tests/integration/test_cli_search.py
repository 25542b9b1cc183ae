"""`facepass search`, `compare`, `selfie`, `photo` and `face`."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from facepass.cli.main import main

from common.vision.fake.photos import fake_photo

Run = Callable[..., Awaitable[int]]
ANN, BEN = 7, 300


@pytest.fixture
async def run(servers: Any, tmp_path: Path) -> Run:
    """Runs the command; Ann is in a.jpg and both.jpg, and less alike in c.jpg."""

    async def command(*args: str) -> int:
        addresses = ["--indexer", servers.indexer_address, "--searcher", servers.searcher_address]
        return await asyncio.to_thread(main, [*addresses, *args])

    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "a.jpg").write_bytes(fake_photo([ANN], shot=1))
    (photos / "both.jpg").write_bytes(fake_photo([BEN, ANN], shot=2))
    (photos / "c.jpg").write_bytes(fake_photo([ANN], shot=12))
    (tmp_path / "ann.jpg").write_bytes(fake_photo([ANN], shot=3))
    (tmp_path / "pair.jpg").write_bytes(fake_photo([BEN, ANN], shot=3))
    (tmp_path / "nobody.jpg").write_bytes(fake_photo())
    assert await command("index", str(photos), "--event", "party", "--create") == 0
    return command


@pytest.fixture
def selfies(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Folder of the selfies; what indexing printed is forgotten."""
    capsys.readouterr()
    return tmp_path


async def test_a_selfie_finds_its_photos(
    run: Run, selfies: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run("search", str(selfies / "ann.jpg"), "--event", "party") == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == "Found 3 photos in party."
    assert [line.split()[1:3] for line in lines[1:]] == [
        ["confident", lines[1].split()[2]],
        ["confident", lines[2].split()[2]],
        ["possible", "c.jpg"],
    ]
    assert {line.split()[2] for line in lines[1:3]} == {"a.jpg", "both.jpg"}
    assert "Searched 3 photos with 4 faces." in err


async def test_a_gallery_is_written(
    run: Run, selfies: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = selfies / "found.html"
    selfie = selfies / "ann.jpg"
    assert await run("search", str(selfie), "--event", "party", "--html", str(page)) == 0
    text = page.read_text(encoding="utf-8")
    for file in (selfie, *sorted((selfies / "photos").iterdir())):
        assert file.as_uri() in text
    assert str(page) in capsys.readouterr().err


async def test_an_answer_as_json_and_a_search_with_one_of_its_faces(
    run: Run, selfies: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--event", "party", "--json", "--limit", "1"]
    assert await run("search", str(selfies / "ann.jpg"), *arguments) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["total_matches"] == "3"
    [match] = answer["matches"]
    assert await run("search", "--face", match["face"]["name"]) == 0
    assert "in party" in capsys.readouterr().out


async def test_a_search_by_the_strangers_that_it_puts_up_with(
    run: Run, selfies: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    search = ["search", str(selfies / "ann.jpg"), "--event", "party"]
    assert await run(*search, "--max-false-matches", "0.001", "--exact", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["exact"] is True
    assert answer["expected_false_matches"] == pytest.approx(0.001)
    assert await run(*search, "--max-false-matches", "2") == 0
    assert "Expect about 2 strangers" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        await run(*search, "--max-false-matches", "1", "--min-similarity", "0.5")
    assert "not allowed with" in capsys.readouterr().err


async def test_which_face_of_a_selfie_was_used_is_said_and_can_be_chosen(
    run: Run, selfies: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = str(selfies / "pair.jpg")
    assert await run("search", pair, "--event", "party") == 0
    out, err = capsys.readouterr()
    assert "Found 1 photo" in out
    assert "2 faces; the largest was used" in err
    assert await run("search", pair, "--event", "party", "--face-index", "1") == 0
    assert "Found 3 photos" in capsys.readouterr().out


async def test_a_selfie_without_a_face_is_an_answer_with_advice(
    run: Run, selfies: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run("search", str(selfies / "nobody.jpg"), "--event", "party") == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "show the whole face" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["search", "--event", "party"], "SELFIE"),
        (["search", "ann.jpg"], "--event"),
        (["search", "ann.jpg", "pair.jpg", "--event", "party", "--face-index", "0"], "one SELFIE"),
        (["photo", "get", "a.jpg"], "--event"),
        (["face", "delete", "a.jpg", "--yes"], "face name"),
    ],
)
async def test_what_is_missing_is_said(
    run: Run, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run(*arguments) == 2
    assert said in capsys.readouterr().err


async def test_an_image_that_is_none_and_a_file_that_is_not_there(
    run: Run, selfies: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (selfies / "text.jpg").write_text("no image")
    assert await run("search", str(selfies / "text.jpg"), "--event", "party") == 1
    assert "JPEG, PNG or WebP" in capsys.readouterr().err
    assert await run("search", str(selfies / "absent.jpg"), "--event", "party") == 1
    assert "No such file" in capsys.readouterr().err


async def test_two_faces_are_compared(
    run: Run, selfies: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ann, pair = str(selfies / "ann.jpg"), str(selfies / "pair.jpg")
    assert await run("compare", ann, str(selfies / "photos" / "a.jpg")) == 0
    assert capsys.readouterr().out.endswith(": the same person\n")
    assert await run("compare", ann, pair) == 0
    out, err = capsys.readouterr()
    assert out.endswith(": different people\n")
    assert "--face-index" not in err
    assert await run("compare", ann, str(selfies / "nobody.jpg")) == 0
    assert "cannot be compared" in capsys.readouterr().out
    assert await run("compare", ann, ann, "--json") == 0
    assert json.loads(capsys.readouterr().out)["similarity"] > 0.99


async def test_a_selfie_gets_advice(
    run: Run, selfies: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run("selfie", str(selfies / "ann.jpg")) == 0
    assert capsys.readouterr().out == "A good selfie.\n"
    assert await run("selfie", str(selfies / "nobody.jpg")) == 0
    assert "No face was found" in capsys.readouterr().out
    assert await run("selfie", str(selfies / "pair.jpg"), "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["probe"]["faces"]) == 2


async def test_photos_and_faces_are_shown_and_deleted(
    run: Run, selfies: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run("photo", "list", "--event", "party", "--json") == 0
    photos = json.loads(capsys.readouterr().out)["photos"]
    names = {photo["file_name"]: photo for photo in photos}
    face = names["both.jpg"]["faces"][0]["name"]

    assert await run("photo", "get", "both.jpg", "--event", "party") == 0
    out = capsys.readouterr().out
    assert face in out
    assert "640 x 480" in out

    assert await run("face", "delete", face) == 2
    assert await run("face", "delete", face, "--dry-run") == 0
    assert await run("face", "delete", face, "--yes") == 0
    assert await run("face", "delete", face, "--yes") == 1
    assert "facepass photo get" in capsys.readouterr().err
    assert await run("photo", "delete", names["both.jpg"]["name"], "--dry-run") == 0
    assert "with 1 face" in capsys.readouterr().out
    assert await run("photo", "delete", names["both.jpg"]["name"], "--yes") == 0
    capsys.readouterr()
    assert await run("photo", "list", "--event", "party") == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert sorted(listed) == ["a.jpg", "c.jpg"]
