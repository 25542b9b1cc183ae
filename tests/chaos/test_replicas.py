"""Searches on a standby that follows, stops following, is killed, or takes over."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from time import monotonic
from typing import Any
from uuid import uuid4

import grpc
import pytest
from fault_load import INDEXER, SEARCHER, SERVING, health_becomes
from fresh_load import FreshLoad, Told, create_event, index, replica_reads, search
from patience import PATIENCE_S, until
from pydantic import SecretStr
from standby import Pair, Standby, ask, both, replicated

from common.db.opening import open_database, open_replica
from common.db.pool import Connection, Database
from common.db.replica import Replica, Signs
from common.errors import DatabaseUnavailable, SetupError
from common.metrics import Metrics
from common.names import EventName
from searcher.config import GallerySettings, SearcherServerSettings, SearcherSettings
from searcher.forgetting_repository import ForgettingRepository
from standalone.embedded import Role

pytestmark = pytest.mark.takes(235)

RECOVERED_S = 20.0
WRITE = "INSERT INTO searcher (searcher_id) VALUES (gen_random_uuid())"


def searching(memory_bytes: int) -> SearcherSettings:
    return SearcherSettings(
        searcher=SearcherServerSettings(listen="127.0.0.1:0", metrics_listen="127.0.0.1:0"),
        gallery=GallerySettings(memory_bytes=memory_bytes),
    )


@pytest.fixture(scope="module")
async def pair() -> AsyncIterator[Pair]:
    async with replicated() as made:
        yield made


async def reads_become(servers: Any, outcome: str, more_than: int = 0) -> Counter[str]:
    """What the Searcher counted, once an outcome has come up more often."""
    for _ in range(PATIENCE_S * 20):
        if (counted := await replica_reads(servers))[outcome] > more_than:
            return counted
        await asyncio.sleep(0.05)
    raise AssertionError(counted)


def all_fresh(told: Told) -> bool:
    return told.stale == [] and not told.failed_searches and not told.failed_changes


@pytest.mark.parametrize("memory_bytes", [0, 2**20], ids=["on disk", "in memory"])
async def test_searches_on_a_replica_are_fresh(
    pair: Pair,
    vision: Any,
    serving: Any,
    figure: Callable[..., None],
    long: bool,
    memory_bytes: int,
) -> None:
    settings = searching(memory_bytes)
    async with serving(pair.settings, vision, searcher_settings=settings) as servers:
        async with FreshLoad(servers).going_on() as told:
            await asyncio.sleep(30 if long else 0)
            await until(lambda: len(told.deleted) >= 8)
        counted = await replica_reads(servers)
    assert all_fresh(told)
    assert counted["read"] > told.searches / 10
    figure(
        f"Searches on a replica, galleries {'in memory' if memory_bytes else 'in the database'}",
        done="4 callers index, delete, and search for what was acknowledged last",
        **account(told, counted),
    )


def account(told: Told, counted: Counter[str]) -> dict[str, int]:
    return {
        "changes_acknowledged": len(told.acknowledged) + len(told.deleted),
        "searches": told.searches,
        "stale": len(told.stale),
        "failed_searches": told.failed_searches.total(),
        "read_on_the_replica": counted["read"],
        "on_the_primary_instead": counted.total() - counted["read"],
    }


async def test_a_replica_stops_following_and_is_killed(
    pair: Pair, vision: Any, serving: Any, figure: Callable[..., None], long: bool
) -> None:
    phase_s = 15.0 if long else 0.1
    async with serving(pair.settings, vision, searcher_settings=searching(0)) as servers:
        async with FreshLoad(servers).going_on() as told:
            counted = await reads_become(servers, "read")
            await pair.standby.pause()
            counted = await reads_become(servers, "behind", counted["behind"] + 3)
            await asyncio.sleep(phase_s)
            await pair.standby.resume()
            counted = await reads_become(servers, "read", counted["read"])
            await asyncio.to_thread(pair.standby.kill)
            counted = await reads_become(servers, "failed", counted["failed"])
            await health_becomes(servers.searcher_address, SEARCHER, SERVING, 1)
            await asyncio.sleep(phase_s)
            await asyncio.to_thread(pair.standby.start)
            await reads_become(servers, "read", (await replica_reads(servers))["read"])
            await asyncio.sleep(phase_s)
        counted = await replica_reads(servers)
    assert all_fresh(told)
    figure(
        "A replica stops following, then is killed",
        done=f"for {phase_s} s each, while 4 callers change and search",
        **account(told, counted),
    )


async def test_a_read_that_recovery_cancels_is_done_on_the_primary(
    pair: Pair, vision: Any, serving: Any
) -> None:
    """What the replica's snapshot still sees is vacuumed on the primary."""
    async with serving(pair.settings, vision) as servers:
        load = FreshLoad(servers, events=1, callers=1)
        async with load.going_on() as told:
            await until(lambda: bool(told.acknowledged))
    metrics, searcher_id, signs = Metrics(), uuid4(), Signs()
    tried: list[bool] = []
    async with open_database(pair.settings) as primary, open_replica(pair.settings) as copy:
        await ForgettingRepository(primary, searcher_id, signs).report()
        replica = Replica(copy, primary, searcher_id, signs, 5.0, metrics)

        async def work(connection: Connection) -> str:
            on_replica = bool(await connection.fetchval("SELECT pg_is_in_recovery()"))
            tried.append(on_replica)
            if on_replica:
                await ask(pair.primary, "UPDATE searcher SET heartbeat = heartbeat")
                await ask(pair.primary, "VACUUM searcher")
                await connection.fetchval("SELECT pg_sleep(20)")
            return "done"

        assert await replica.read(work, EventName(load.events[0])) == "done"
    assert tried == [True, False]
    failed = {"outcome": "failed"}
    assert metrics.registry.get_sample_value("facepass_replica_reads_total", failed) == 1


async def test_what_cannot_be_written_to_is_left(pair: Pair) -> None:
    """Its caller is told to try again, and the next statement goes to another connection."""
    async with open_replica(pair.settings) as copy:
        for begin in (copy.statements, copy.transaction):
            with pytest.raises(DatabaseUnavailable):
                async with begin() as connection:
                    await connection.execute(WRITE)
            assert copy.load.idle == 0
    as_owner = pair.settings.model_copy(
        update={"replica_dsn": SecretStr(pair.standby.dsn(Role.OWNER))}
    )
    with pytest.raises(SetupError, match="could see faces of any event"):
        async with open_replica(as_owner):
            pass
    replica = pair.standby.dsn(Role.SERVER)
    first_the_standby = pair.settings.model_copy(
        update={"dsn": SecretStr(both(replica, pair.primary.server_dsn))}
    )
    async with open_database(first_the_standby) as database:
        await one_write(database)


async def one_write(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute(WRITE)


async def test_the_standby_takes_over(
    pair: Pair, vision: Any, serving: Any, figure: Callable[..., None], long: bool
) -> None:
    """The last test of the pair: none is left."""
    well_s = 15.0 if long else 0.1
    await pair.acknowledge_together()
    heard: list[str] = []
    async with serving(pair.settings, vision) as servers, open_database(pair.settings) as witness:
        witness.replaced = lambda: heard.append("another server")
        await one_write(witness)
        assert heard == []
        async with FreshLoad(servers).going_on() as told:
            await until(lambda: len(told.deleted) >= 4)
            await asyncio.sleep(well_s)
            await asyncio.to_thread(pair.kill_primary)
            struck_s = monotonic()
            await pair.standby.promote()
            before = len(told.acknowledged)
            await until(lambda: len(told.acknowledged) >= before + 4)
            recovered_s = monotonic() - struck_s
            await asyncio.sleep(well_s)
        await one_write(witness)
        assert heard == ["another server"]
        await health_becomes(servers.indexer_address, INDEXER, SERVING, RECOVERED_S)
        await health_becomes(servers.searcher_address, SEARCHER, SERVING, RECOVERED_S)
    stored = await pair.standby.ask("SELECT array_agg(photo_id) FROM photo")
    assert recovered_s < RECOVERED_S
    assert told.stale == []
    assert told.failed_searches.keys() <= {"UNAVAILABLE"}
    lost = told.kept - set(stored)
    assert lost == set()
    figure(
        "The primary is killed and its standby takes over",
        done="with synchronous replication, while 4 callers index, delete and search",
        changes_acknowledged=len(told.acknowledged) + len(told.deleted),
        lost=len(lost),
        searches=told.searches,
        stale=len(told.stale),
        acknowledges_again_after_s=round(recovered_s, 1),
    )


@pytest.mark.slow
async def test_what_was_lost_with_a_primary_is_not_found(vision: Any, serving: Any) -> None:
    """Without synchronous replication. The heir gives another photo the very version and number
    that the lost one had, which the replica and a Searcher's memory still know."""
    async with replicated() as pair, AsyncExitStack() as stack:
        heir = Standby(pair.primary, pair.folder / "heir")
        stack.enter_context(heir.running())
        dsn = SecretStr(both(pair.primary.server_dsn, heir.dsn(Role.SERVER)))
        settings = pair.settings.model_copy(update={"dsn": dsn})
        without, with_memory = [
            await stack.enter_async_context(
                serving(settings, vision, searcher_settings=searching(memory_bytes))
            )
            for memory_bytes in (0, 2**20)
        ]

        async def found(person: int) -> set[str] | grpc.StatusCode:
            answers = [await search(each, "gala", person) for each in (without, with_memory)]
            assert answers[0] == answers[1]
            return answers[0]

        await create_event(without, "gala")
        assert await index(without, "gala", "kept", 0) is None
        assert await found(0) == {"kept"}
        await asyncio.to_thread(heir.kill)
        assert await index(without, "gala", "lost", 100) is None
        assert await found(100) == {"lost"}
        await asyncio.to_thread(pair.kill_primary)
        await asyncio.to_thread(heir.start)
        await heir.promote()
        for _ in range(PATIENCE_S):
            if await index(without, "gala", "new", 200) is None:
                break
            await asyncio.sleep(0.5)
        assert await found(200) == {"new"}
        assert await found(100) == set()
        assert await found(0) == {"kept"}
