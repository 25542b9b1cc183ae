"""`facepass event`, and how errors reach a person."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from facepass.cli.main import main

Run = Callable[..., Awaitable[int]]


@pytest.fixture
def run(servers: Any) -> Run:
    """Runs the command against the test's servers; returns its exit code."""

    async def command(*args: str) -> int:
        addresses = ["--indexer", servers.indexer_address, "--searcher", servers.searcher_address]
        return await asyncio.to_thread(main, [*addresses, *args])

    return command


async def test_an_event_from_birth_to_death(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    fields = ["--display-name", "Summer party", "--ttl", "30d", "--quality-filter", "low"]
    assert await run("event", "create", "party", *fields) == 0
    out, err = capsys.readouterr()
    assert "Summer party" in out
    assert "expires" in out
    assert "facepass index FOLDER --event party" in err

    assert await run("event", "update", "party", "--location", "Lake", "--json") == 0
    changed = json.loads(capsys.readouterr().out)
    assert (changed["location"], changed["display_name"]) == ("Lake", "Summer party")

    assert await run("event", "list") == 0
    listed = " ".join(capsys.readouterr().out.split())
    assert listed == "party 0 photos 0 faces Summer party"

    assert await run("event", "delete", "party", "--dry-run") == 0
    assert await run("event", "delete", "party", "--yes") == 0
    assert "Deleted event party" in capsys.readouterr().out
    assert await run("event", "list", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {}


async def test_nothing_is_deleted_where_nobody_can_be_asked(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    await run("event", "create", "party")
    assert await run("event", "delete", "party") == 2
    assert "--yes" in capsys.readouterr().err
    assert await run("event", "get", "party") == 0


async def test_a_missing_event_says_how_to_make_it(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run("event", "get", "absent") == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "facepass event create" in err
    assert "Traceback" not in err


async def test_a_bad_id_is_explained(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert await run("event", "create", "Not An Id") == 1
    assert "event_id" in capsys.readouterr().err


async def test_an_update_of_nothing_is_wrong_usage(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    await run("event", "create", "party")
    assert await run("event", "update", "party") == 2
    assert "nothing to update" in capsys.readouterr().err


async def test_addresses_are_understood_behind_the_action_too(
    servers: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["event", "list", "--indexer", servers.indexer_address]
    assert await asyncio.to_thread(main, arguments) == 0
    assert "facepass event create" in capsys.readouterr().err


def test_a_server_that_is_not_there_is_said_with_its_address(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--indexer", "127.0.0.1:1", "event", "list"]) == 1
    err = capsys.readouterr().err
    assert "127.0.0.1:1" in err
    assert "facepass-server standalone" in err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["event"],
        ["event", "create"],
        ["event", "create", "party", "--ttl", "0d"],
        ["event", "create", "party", "--start-time", "tomorrow"],
        ["event", "create", "party", "--ttl", "1d", "--expire-time", "2030-01-01"],
        ["search", "x.jpg", "--event", "party", "--min-similarity", "1.5"],
        ["search", "x.jpg", "--event", "party", "--limit", "0"],
        ["search", "x.jpg", "--event", "party", "--face-index", "-1"],
    ],
)
def test_wrong_usage_is_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "usage: facepass" in capsys.readouterr().err
