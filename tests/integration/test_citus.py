"""Event data over several databases. What needs one with Citus runs where FACEPASS_TEST_DSN is the
coordinator's and FACEPASS_TEST_CITUS names the workers; the rest says what to do without."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from itertools import count
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from erasing import needles, physically_gone, templates_of
from facepass.v1 import indexer_pb2
from given_citus import SHARDS, GivenCitus
from large_events import (
    GRAPH,
    NO_MEMORY,
    PEOPLE,
    create,
    delete,
    fill,
    found,
    found_of_all,
    indexing,
    optimize,
    put,
    search,
)
from pydantic import SecretStr

from common.config import DatabaseSettings, TemplateSettings
from common.db.migrate import migrate
from common.db.opening import open_database
from common.errors import SetupError
from common.names import EventName
from indexer.config import ErasureSettings
from standalone.citus.distribution import Distribution
from standalone.citus.repository import EVENT_DATA, open_citus
from standalone.citus.status import Status
from standalone.cli import run
from standalone.embedded import Role

HAS_CITUS = bool(os.environ.get("FACEPASS_TEST_CITUS"))
citus = pytest.mark.skipif(
    not HAS_CITUS, reason="needs Citus: FACEPASS_TEST_DSN and FACEPASS_TEST_CITUS (docs/scaling.md)"
)
GALA, FAIR = EventName("gala"), EventName("fair")
ENDED = "Event data is distributed"


@pytest.fixture
async def owner(database: Any) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database.owner_dsn)
    yield connection
    await connection.close()


@pytest.fixture
def as_owner(database: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The test's database, for commands."""
    monkeypatch.setenv("FACEPASS_DATABASE__MIGRATION_DSN", database.owner_dsn)
    return database


async def command(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Exit code of a command, and what it said."""
    code = await asyncio.to_thread(run, ["citus", *arguments])
    told = capsys.readouterr()
    return code, told.out + told.err


@pytest.mark.skipif(HAS_CITUS, reason="needs a Postgres without Citus")
@pytest.mark.parametrize("arguments", [["init"], ["status"], ["move", "gala", "one:5432"]])
async def test_without_citus_it_says_what_to_do(
    as_owner: Any, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    code, said = await command(capsys, *arguments)
    assert code == 1
    assert "Citus is not installed" in said and "docs/scaling.md" in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["init", "--shards", "0"],
        ["init", "--shards", "many"],
        ["move", "gala"],
        ["move", "gala", "5432"],
        ["move", "no event", "one:5432"],
    ],
)
def test_wrong_arguments_are_wrong_usage(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(["citus", *arguments])
    assert ended.value.code == 2


# What follows needs Citus.


@pytest.fixture
def plain(postgres: GivenCitus) -> Iterator[str]:
    """Name of a database that is not distributed yet."""
    name = f"c_{uuid4().hex[:12]}"
    postgres.create_database(name)
    yield name
    postgres.drop_database(name)


def settings_of(postgres: GivenCitus, name: str) -> DatabaseSettings:
    return DatabaseSettings(dsn=SecretStr(postgres.dsn(Role.SERVER, name)), pool_size=5)


@citus
async def test_a_database_is_distributed_as_it_is(
    postgres: GivenCitus,
    plain: str,
    vision: Any,
    serving: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With its events, one of which has a graph; and nothing is done twice."""
    monkeypatch.setenv("FACEPASS_DATABASE__MIGRATION_DSN", postgres.dsn(Role.OWNER, plain))
    await migrate(postgres.dsn(Role.OWNER, plain))
    settings = {"indexer_settings": indexing(), "searcher_settings": NO_MEMORY}
    async with serving(settings_of(postgres, plain), vision, **settings) as servers:
        await fill(servers, "gala")
        await optimize(servers, "gala")
        await put(servers, "gala", "late", [10, 900], shot=7)
        await fill(servers, "fair", shots=1)
        before = {name: await found_of_all(servers, name) for name in ("gala", "fair")}
    code, said = await command(capsys, "init")
    assert code == 1 and "CREATE EXTENSION citus" in said
    postgres.join(plain)
    code, said = await command(capsys, "init", "--shards", str(SHARDS))
    assert code == 0 and ENDED in said, said
    assert "of events/gala" in said
    assert await command(capsys, "init") == (0, f"{ENDED}: nothing to do.\n")

    code, said = await command(capsys, "status", "--json")
    status = json.loads(said)
    assert status["not_distributed"] == {"tables": [], "own_tables": []}
    workers = [node for node in status["nodes"] if not node["coordinator"]]
    assert len(workers) == len(postgres.workers)
    assert sum(node["events"] for node in workers) == 2
    assert sum(node["own_tables"] for node in workers) == 1
    owner = await asyncpg.connect(postgres.dsn(Role.OWNER, plain))
    left = "SELECT sum(pg_relation_size(c.oid)) FROM pg_class c WHERE oid = ANY ($1::regclass[])"
    assert await owner.fetchval(left, [*EVENT_DATA, "ev_1.face"]) == 0
    await owner.close()

    async with serving(settings_of(postgres, plain), vision, **settings) as servers:
        assert {name: await found_of_all(servers, name) for name in before} == before
        assert (await search(servers, "gala", 11)).source == GRAPH
        await put(servers, "fair", "new", [10], shot=8)
        assert "new" in await found(servers, "fair", 10)
        await delete(servers, "gala", "late")
        assert "late" not in await found(servers, "gala", 10)


@citus
async def test_what_was_killed_is_gone_on_with(
    postgres: GivenCitus, plain: str, vision: Any, serving: Any
) -> None:
    """Between any two steps."""
    dsn = postgres.dsn(Role.OWNER, plain)
    await migrate(dsn)
    async with serving(
        settings_of(postgres, plain), vision, indexer_settings=indexing()
    ) as servers:
        await fill(servers, "gala")
        await optimize(servers, "gala")
        before = await found_of_all(servers, "gala")
    postgres.join(plain)
    begun: list[str] = []

    def killed_at_the_next(step: str) -> None:
        begun.append(step)
        if len(begun) % 2 == 0:
            raise InterruptedError(step)

    for _ in range(40):
        with suppress(SetupError):
            async with open_citus(dsn) as repository:
                if not await Distribution(repository, killed_at_the_next, 64).run(SHARDS):
                    break
    else:
        raise AssertionError(begun)
    assert len(begun) > 2 * len(EVENT_DATA)
    async with serving(
        settings_of(postgres, plain), vision, searcher_settings=NO_MEMORY
    ) as servers:
        assert await found_of_all(servers, "gala") == before
        assert (await search(servers, "gala", 11)).source == GRAPH


@citus
async def test_nothing_is_distributed_under_running_servers(
    postgres: GivenCitus, plain: str, vision: Any, serving: Any
) -> None:
    dsn = postgres.dsn(Role.OWNER, plain)
    await migrate(dsn)
    postgres.join(plain)
    async with serving(settings_of(postgres, plain), vision) as servers:
        await create(servers, "gala")
        with pytest.raises(SetupError, match="stop all Indexers and Searchers"):
            async with open_citus(dsn) as repository:
                await Distribution(repository, lambda _: None, 64).run(SHARDS)


@citus
async def test_an_event_that_was_not_named_shows_nothing(
    database: Any, vision: Any, serving: Any
) -> None:
    """On whatever node its rows are; and what an earlier transaction named is forgotten there."""
    async with serving(database.settings, vision, indexer_settings=indexing()) as servers:
        for event in (GALA, FAIR):
            await fill(servers, event.event, shots=2)
            await optimize(servers, event.event)
            await put(servers, event.event, "late", [10, 11], shot=7)
    tables = ("face", "photo", "ev_1.face", "ev_2.face")
    async with open_database(database.settings) as pool:
        for event, own in ((GALA, "ev_1.face"), (FAIR, "ev_2.face")):
            async with pool.transaction(event) as connection:
                seen = [await connection.fetchval(f"SELECT count(*) FROM {t}") for t in tables]
                assert dict(zip(tables, seen, strict=True)) == {
                    **dict.fromkeys(tables, 0),
                    "face": 2,
                    "photo": 9,
                    own: 32,
                }
            for handed_out in (pool.transaction, pool.statements, pool.snapshot):
                async with handed_out() as connection:
                    for table in tables:
                        assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 0


@citus
async def test_erased_templates_leave_the_files_of_their_shards(
    postgres: GivenCitus, database: Any, vision: Any, serving: Any
) -> None:
    soon = indexing().model_copy(update={"erasure": ErasureSettings(interval_s=0.2)})
    async with serving(
        database.settings, vision, indexer_settings=soon, templates=TemplateSettings()
    ) as servers:
        await fill(servers, "gala", shots=2)
        assert await hits(postgres, database.name, [10]) > 0
        name = "events/gala/photos/0-10"
        answer = await servers.indexer.DeletePhoto(indexer_pb2.DeletePhotoRequest(name=name))
        later = indexer_pb2.DeletePhotoRequest(name="events/gala/photos/1-10")
        for gone in (answer, await servers.indexer.DeletePhoto(later)):
            await physically_gone(servers, gone.erasure)
        assert await hits(postgres, database.name, [10]) == 0
        assert await hits(postgres, database.name, [20]) > 0
        assert len(await found(servers, "gala", 20)) == 2


async def hits(postgres: GivenCitus, name: str, people: list[int]) -> int:
    """How often templates of people stand in the files of tables on all nodes."""
    wanted, found = needles(templates_of(people, range(2))), 0
    for dsn in postgres.dsns(name):
        node = await asyncpg.connect(dsn)
        await node.execute("CHECKPOINT")
        await node.execute("SET citus.override_table_visibility = off")
        rows = await node.fetch(
            "SELECT pg_read_binary_file(pg_relation_filepath(oid), true) AS bytes FROM pg_class"
            " WHERE relkind = 'r' AND relname ~ '^face' AND relnamespace = 'public'::regnamespace"
        )
        await node.close()
        found += sum(row["bytes"].count(each) for row in rows for each in wanted)
    return found


@citus
@pytest.mark.parametrize(("promoted", "options"), [(False, []), (True, []), (True, ["--alone"])])
async def test_an_event_is_moved_while_it_is_in_use(
    as_owner: Any,
    vision: Any,
    serving: Any,
    capsys: pytest.CaptureFixture[str],
    promoted: bool,
    options: list[str],
) -> None:
    """No search and no upload fails, and none misses anything."""
    settings = {"indexer_settings": indexing(), "searcher_settings": NO_MEMORY}
    async with serving(as_owner.settings, vision, **settings) as servers:
        await fill(servers, "gala")
        if promoted:
            await optimize(servers, "gala")
        before = str((await places(as_owner.owner_dsn))["rows"])
        target = next(n for n in await nodes(as_owner.owner_dsn) if n != before)
        moved, numbers = asyncio.Event(), count()
        sent: list[str] = []

        async def searching(person: int) -> int:
            for done in count():
                known = set(sent) if person == 10 else set()
                photos = await found(servers, "gala", person)
                assert len(photos) >= 3 and known <= set(photos)
                if moved.is_set():
                    return done
            raise AssertionError

        async def uploading() -> None:
            while not moved.is_set():
                photo_id = f"new-{next(numbers)}"
                await put(servers, "gala", photo_id, [10, 950], shot=9)
                sent.append(photo_id)
                await asyncio.sleep(0.05)

        async def moving() -> tuple[int, str]:
            try:
                return await command(capsys, "move", "gala", target, *options)
            finally:
                moved.set()

        (code, said), _, first, second = await asyncio.gather(
            moving(), uploading(), searching(10), searching(11)
        )
        assert code == 0 and f"events/gala is on {target}" in said, said
        assert sent and first and second
        assert set(map(str, (await places(as_owner.owner_dsn)).values())) == {target}
        assert set(sent) <= set(await found(servers, "gala", 10))
        code, said = await command(capsys, "move", "gala", target)
        assert code == 0 and "already" in said


async def nodes(dsn: str) -> list[str]:
    async with open_citus(dsn) as repository:
        return [str(node.address) for node in await repository.nodes() if node.takes_shards]


async def places(dsn: str) -> dict[str, Any]:
    """Where the rows of `gala` are, and its own table if it has one."""
    async with open_citus(dsn) as repository:
        event = await repository.event(GALA.key)
        assert event is not None
        found = {"rows": (await repository.place_of_event(GALA.key)).address}
        if event[1] is not None:
            found["own"] = (await repository.place_of_schema(event[1])).address
        return found


@citus
async def test_what_is_not_there_is_not_moved(
    as_owner: Any, vision: Any, serving: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    there = (await nodes(as_owner.owner_dsn))[0]
    code, said = await command(capsys, "move", "gala", there)
    assert code == 1 and "there is no event events/gala" in said
    code, said = await command(capsys, "move", "gala", "elsewhere:1")
    assert code == 1 and there in said


@citus
async def test_nodes_are_balanced(
    as_owner: Any, vision: Any, serving: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    async with serving(as_owner.settings, vision) as servers:
        await fill(servers, "gala", shots=1)
        code, said = await command(capsys, "rebalance")
        assert code == 0 and "balanced" in said, said
        assert len(await found(servers, "gala", PEOPLE[0])) == 1
    async with open_citus(as_owner.owner_dsn) as repository:
        status = await Status.of(repository)
    assert status.tables == [] and "run facepass-server citus init" not in status.as_text()
    assert sum(held.events for held in status.held.values()) == 1
