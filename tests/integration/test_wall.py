"""The wall between events in the database: what the servers' role sees by any SQL at all."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import numpy as np
import pytest
from given_citus import GivenCitus
from large_events import fill, indexing, optimize, put
from pydantic import SecretStr

from common.config import DatabaseSettings
from common.db import watch as watching
from common.db.events import EventReader, PackRegistry
from common.db.faces import EventFaces
from common.db.opening import open_database
from common.db.pool import Database
from common.errors import SetupError
from common.metrics import Metrics
from common.names import EventName
from standalone.embedded import EmbeddedPostgres

GALA, FAIR = EventName("gala"), EventName("fair")
SEE = "SELECT set_config('facepass.event_id', $1, false)"
WITHOUT_A_WALL = {"event", "relation", "operation", "erasure"}
"""Control data, and the events themselves: nobody's faces, photos or whereabouts."""
OF_EVENTS = r"""
SELECT c.oid::regclass::text FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'event_id'
 WHERE c.relkind IN ('r', 'p') AND (n.nspname = 'public' OR n.nspname LIKE 'ev\_%') ORDER BY 1
"""


@pytest.fixture
async def owner(database: Any) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database.owner_dsn)
    yield connection
    await connection.close()


@pytest.fixture
async def raw(database: Any, postgres: EmbeddedPostgres) -> AsyncIterator[asyncpg.Connection]:
    """The servers' role, with any SQL."""
    if isinstance(postgres, GivenCitus):
        pytest.skip("what a session sets stays on its node")
    connection = await asyncpg.connect(database.server_dsn)
    yield connection
    await connection.close()


@pytest.fixture
async def pool(database: Any) -> AsyncIterator[Database]:
    async with open_database(database.settings) as opened:
        yield opened


@pytest.fixture
async def walled(database: Any, vision: Any, serving: Any, owner: Any) -> list[str]:
    """Two events with rows in every table: `gala` mostly in one of its own, `fair` not. Returns the
    tables behind the wall."""
    async with serving(database.settings, vision, indexer_settings=indexing()) as servers:
        for event in (GALA, FAIR):
            await fill(servers, event.event)
        await optimize(servers, GALA.event)
        await put(servers, GALA.event, "later", [10, 900], shot=5)
    for name in (GALA, FAIR):
        await owner.execute("INSERT INTO tombstone VALUES ($1, 1, 1)", name.key)
        await owner.execute("INSERT INTO ingest VALUES ($1, gen_random_uuid(), 1)", name.key)
        await owner.execute(
            "INSERT INTO suppression "
            "VALUES ($1, gen_random_uuid(), gen_random_uuid(), 1, now(), '[1]')",
            name.key,
        )
    tables = {row[0] for row in await owner.fetch(OF_EVENTS)}
    assert tables >= WITHOUT_A_WALL
    return sorted(tables - WITHOUT_A_WALL)


async def counts(connection: asyncpg.Connection, tables: list[str]) -> dict[str, int]:
    return {
        table: await connection.fetchval(f"SELECT count(*) FROM {table} WHERE event_id > 0")
        for table in tables
    }


async def test_every_table_of_an_event_is_behind_the_wall(
    walled: list[str], owner: Any, raw: Any
) -> None:
    """Also one that was made yesterday: the tables come from the catalogue."""
    assert len([table for table in walled if table.startswith("ev_")]) == 1
    there = await counts(owner, walled)
    assert set(there) >= {"photo", "face", "tombstone", "ingest"} and min(there.values()) > 0
    everything = [f"SELECT count(*) FROM {table}" for table in walled]
    nothing = [0] * len(walled)
    assert [await raw.fetchval(query) for query in everything] == nothing
    for wrong in ("", str(EventName("other").key), "1"):
        await raw.execute(SEE, wrong)
        assert [await raw.fetchval(query) for query in everything] == nothing
    seen = {table: 0 for table in walled}
    for name in (GALA, FAIR):
        await raw.execute(SEE, str(name.key))
        for table in walled:
            assert await raw.fetchval(f"SELECT bool_and(event_id = {name.key}) FROM {table}") in (
                (True,) if not table.startswith("ev_") else (True, None)
            )
            seen[table] += await raw.fetchval(f"SELECT count(*) FROM {table}")
    assert seen == there


async def test_rows_of_other_events_are_neither_written_nor_touched(
    walled: list[str], owner: Any, raw: Any
) -> None:
    before = await counts(owner, walled)
    await raw.execute(SEE, str(GALA.key))
    for table in walled:
        moved = f"jsonb_populate_record(r, '{{\"event_id\": {FAIR.key}}}')"
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            await raw.execute(f"INSERT INTO {table} SELECT ({moved}).* FROM {table} r")
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            await raw.execute(f"UPDATE {table} SET event_id = {FAIR.key}")
    await raw.execute(SEE, str(EventName("other").key))
    for table in walled:
        assert await raw.execute(f"DELETE FROM {table}") == "DELETE 0"
    assert await counts(owner, walled) == before


async def test_an_event_that_was_not_named_is_not_found_by_its_number(
    walled: list[str], pool: Database
) -> None:
    """A query with the wrong event_id gives nothing, by the scan and by the graph."""
    reader, probe = EventReader(PackRegistry()), np.eye(1, 512, dtype=np.float32)[0]
    async with pool.statements(GALA) as connection:
        gala = await reader.get(connection, GALA)
        assert gala.pack is not None and gala.relation is not None
        probe = probe[: gala.pack.dimension]
        assert len(await EventFaces(connection, gala).exact(probe, -1.0)) == gala.counts.faces
    for seen in (FAIR, None):
        async with pool.statements(seen) as connection:
            faces = EventFaces(connection, gala)
            assert await faces.exact(probe, -1.0) == []
            assert await faces.nearest(probe, -1.0, 100) is None
            assert await faces.by_no(range(1, 60)) == {}


async def test_what_a_connection_saw_before_does_not_matter(
    walled: list[str], pool: Database, owner: Any
) -> None:
    """Whoever comes next on a connection, in whatever way the one before left it."""
    there = {
        name: await owner.fetchval("SELECT count(*) FROM photo WHERE event_id = $1", name.key)
        for name in (GALA, FAIR)
    } | {None: 0}
    chances = random.Random(1)

    async def look(name: EventName | None, way: str, end: str) -> None:
        handed_out = {
            "statements": pool.statements,
            "transaction": pool.transaction,
            "snapshot": pool.snapshot,
        }[way]
        async with handed_out(name) as connection:
            seen = await connection.fetchval("SELECT count(*) FROM photo")
            assert seen == there[name], (way, name)
            if end == "error":
                await connection.execute("SELECT 1 / 0")
            if end == "cancel":
                await connection.execute("SELECT pg_sleep(10)")

    async def one() -> None:
        name = chances.choice([GALA, FAIR, None])
        end = chances.choice(["well", "well", "well", "error", "cancel"])
        task = asyncio.create_task(
            look(name, chances.choice(["statements", "statements", "transaction", "snapshot"]), end)
        )
        if end == "cancel":
            await asyncio.sleep(0.05)
            task.cancel()
        with_end = {"well": (), "error": asyncpg.DivisionByZeroError}.get(
            end, asyncio.CancelledError
        )
        try:
            await task
        except BaseException as error:
            assert with_end and isinstance(error, with_end), error

    for _ in range(40):
        await asyncio.gather(*(one() for _ in range(5)))


@pytest.fixture
def roles(postgres: EmbeddedPostgres, database: Any) -> Iterator[dict[str, str]]:
    """Roles that are not what the servers should be, with how to connect as each."""
    made = {
        "superuser": "SUPERUSER",
        "above": "BYPASSRLS",
        "member": "NOINHERIT IN ROLE facepass_owner",
        "member_of_member": "IN ROLE wall_member",
        "member_of_above": "IN ROLE wall_above",
    }
    for name, what in made.items():
        postgres._query(f"CREATE ROLE wall_{name} LOGIN PASSWORD 'secret' {what};")
    rights = "GRANT SELECT ON ALL TABLES IN SCHEMA public TO "
    postgres._query("".join(f"{rights} wall_{name};" for name in made), database.name)
    host = database.server_dsn.rpartition("@")[2]
    yield {name: f"postgresql://wall_{name}:secret@{host}" for name in made}
    for name in reversed(made):
        postgres._query(f"DROP OWNED BY wall_{name}; DROP ROLE wall_{name};", database.name)


async def refusal(dsn: str) -> str:
    with pytest.raises(SetupError, match="could see faces of any event") as refused:
        async with open_database(DatabaseSettings(dsn=SecretStr(dsn)), patient=True):
            pass
    assert "FACEPASS_DATABASE__MIGRATION_DSN" in refused.value.message
    return refused.value.message


async def test_servers_refuse_a_role_above_the_wall(database: Any, roles: dict[str, str]) -> None:
    assert "facepass_owner" in await refusal(database.owner_dsn)
    assert "wall_superuser" in await refusal(roles["superuser"])
    assert "wall_above" in await refusal(roles["above"])
    assert "facepass_owner" in await refusal(roles["member"])
    assert "facepass_owner" in await refusal(roles["member_of_member"])
    assert "wall_above" in await refusal(roles["member_of_above"])


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        ("ALTER TABLE tombstone DISABLE ROW LEVEL SECURITY", "on tombstone; it sees 1 rows"),
        ("CREATE POLICY helpful ON face USING (true)", "it sees 1 rows"),
        ("ALTER POLICY one_event ON photo USING (event_id = 0)", "it sees 1 rows"),
    ],
)
async def test_servers_refuse_an_open_wall(database: Any, owner: Any, harm: str, said: str) -> None:
    await owner.execute(harm)
    assert said in await refusal(database.server_dsn)


async def test_servers_refuse_an_own_relation_without_a_wall(
    walled: list[str], database: Any, owner: Any
) -> None:
    own = next(table for table in walled if table.startswith("ev_"))
    await owner.execute(f"ALTER TABLE {own} DISABLE ROW LEVEL SECURITY")
    assert own in await refusal(database.server_dsn)


async def test_a_wall_that_opens_while_servers_run_is_told(
    database: Any, owner: Any, pool: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "_WALL_INTERVAL_S", 0.0)
    metrics = Metrics()

    async def tell(_: bool) -> None:
        raise AssertionError("the database was there all the time")

    watch = watching.DatabaseWatch(database.settings, pool, tell, metrics)

    async def until(value: float) -> None:
        async with asyncio.timeout(30):
            while True:
                if metrics.registry.get_sample_value("facepass_wall_stands") == value:
                    return
                await asyncio.sleep(0.1)

    async with watch.watching():
        await until(1)
        await owner.execute("CREATE POLICY helpful ON face USING (true)")
        await until(0)
        await owner.execute("DROP POLICY helpful ON face")
        await until(1)


async def test_what_is_done_by_the_owner_for_the_servers(owner: Any, raw: Any) -> None:
    """Functions that run as the owner look nowhere else for names, serve nobody but whom they were
    granted, and do only what fits the state."""
    rows = await owner.fetch(
        "SELECT proname, proconfig, has_function_privilege('public', oid, 'EXECUTE') AS open"
        "  FROM pg_proc WHERE prosecdef AND pronamespace = 'public'::regnamespace"
    )
    assert {row["proname"] for row in rows} >= {"create_relation", "drop_relation"}
    for row in rows:
        assert "search_path=public, pg_temp" in (row["proconfig"] or []), row
        assert not row["open"], row
    number = await raw.fetchval(
        "INSERT INTO relation (event_id, uid, state)"
        " VALUES (1, gen_random_uuid(), 'SERVING') RETURNING relation"
    )
    for call in (f"create_relation({number}, 8)", f"drop_relation({number})", "drop_relation(99)"):
        with pytest.raises(asyncpg.UndefinedTableError):
            await raw.execute(f"SELECT {call}")
