"""What may come between two steps of building a graph: deletions, other servers, the end of all."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from large_events import (
    NO_MEMORY,
    PEOPLE,
    create,
    delete,
    delete_event,
    fill,
    found,
    found_of_all,
    index_of,
    indexing,
    put,
    schemas,
)

from common.db.events import EventReader, PackRegistry
from common.db.faces import EventFaces
from common.db.opening import open_database
from common.db.pool import Database
from common.errors import EventNotFound
from common.event import Event
from common.metrics import Metrics
from common.names import EventName
from indexer.config import PromotionSettings
from indexer.graphs.curator_repository import CuratorRepository
from indexer.graphs.drop_repository import RelationDrops
from indexer.graphs.operation_repository import OperationQueue, OperationRepository
from indexer.graphs.operations import Claim, Progress, Strategy, Superseded
from indexer.graphs.promotion import Promotion
from indexer.graphs.recall import RecallWatch
from indexer.graphs.recall_repository import RecallRepository
from indexer.graphs.relation_repository import Copy, Measured, RelationRepository

GALA = EventName("gala")
SETTINGS = PromotionSettings(hnsw_min_faces=20)
MEASURED = Measured(100, 1.0)


@dataclass
class Builder:
    """A server that builds graphs, step by step as the test says."""

    queue: OperationQueue
    relations: RelationRepository
    drops: RelationDrops
    promotion: Promotion
    recall: RecallWatch
    metrics: Metrics

    @classmethod
    def on(cls, database: Database, stale_s: float = 15.0) -> "Builder":
        reader, metrics = EventReader(PackRegistry()), Metrics()
        queue = OperationQueue(database, uuid4(), stale_s)
        relations, drops = RelationRepository(database, reader), RelationDrops(database)
        recall = RecallWatch(RecallRepository(database), metrics, SETTINGS.target_recall)
        promotion = Promotion(relations, drops, recall, queue, SETTINGS, metrics)
        return cls(queue, relations, drops, promotion, recall, metrics)

    async def claimed(self) -> Claim:
        claim = await self.queue.claim()
        assert claim is not None
        return claim

    async def built(self, claim: Claim) -> Copy:
        """A relation that is ready to be switched to."""
        event = await self.relations.event(claim)
        assert event.pack is not None
        relation = await self.relations.create(claim, event.pack.dimension)
        copy = await self.relations.copy(claim, relation)
        await self.relations.index(copy, 64, Progress())
        return copy

    async def cleaned(self, claim: Claim) -> None:
        event, start = await self.relations.event(claim), 0
        while (go_on := await self.relations.clean(claim, event, start, 7)) is not None:
            start = go_on


@pytest.fixture
async def servers(database: Any, vision: Any, serving: Any) -> AsyncIterator[Any]:
    """Servers that build nothing by themselves."""
    settings = indexing(enabled=False, interval_s=3600)
    async with serving(
        database.settings, vision, indexer_settings=settings, searcher_settings=NO_MEMORY
    ) as running:
        yield running


@pytest.fixture
async def pool(database: Any) -> AsyncIterator[Database]:
    async with open_database(database.settings) as opened:
        yield opened


@pytest.fixture
async def owner(database: Any) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database.owner_dsn)
    yield connection
    await connection.close()


@pytest.fixture
async def gala(servers: Any, pool: Database) -> Builder:
    """An event of 48 faces with an operation that waits for a builder."""
    await fill(servers, "gala")
    await opened(pool)
    return Builder.on(pool)


async def event_of(pool: Database) -> Event:
    async with pool.transaction() as connection:
        return await EventReader(PackRegistry()).get(connection, GALA)


async def opened(pool: Database) -> None:
    await OperationRepository(pool).open(await event_of(pool))


async def numbers(pool: Database) -> list[int]:
    """Every face as often as readers see it."""
    async with pool.snapshot(GALA) as connection:
        event = await EventReader(PackRegistry()).get(connection, GALA)
        seen: list[int] = []
        await EventFaces(connection, event).templates(
            0, lambda rows: seen.extend(rows.face_no.tolist())
        )
        return sorted(seen)


async def test_what_changes_while_a_graph_is_built(
    servers: Any, pool: Database, gala: Builder
) -> None:
    claim = await gala.claimed()
    copy = await gala.built(claim)
    await delete(servers, "gala", "1-10")
    await put(servers, "gala", "later", [10], shot=7)
    await gala.relations.switch(claim, copy, 1, MEASURED)
    assert await found(servers, "gala", 10) == ["0-10", "2-10", "later"]
    # Copies still stand in the shared table: a deletion takes both.
    await delete(servers, "gala", "2-10")
    await put(servers, "gala", "2-10", [12], shot=7)
    assert await found(servers, "gala", 10) == ["0-10", "later"]
    before = await found_of_all(servers, "gala")
    await gala.cleaned(claim)
    assert await found_of_all(servers, "gala") == before
    assert len(await numbers(pool)) == 48 - 8 + 2


async def test_an_event_deleted_meanwhile(servers: Any, gala: Builder, owner: Any) -> None:
    claim = await gala.claimed()
    copy = await gala.built(claim)
    await delete_event(servers, "gala")
    assert await schemas(owner) == []
    for step in (
        lambda: gala.relations.switch(claim, copy, 1, MEASURED),
        lambda: gala.relations.create(claim, 62),
        lambda: gala.relations.index(copy, 64, Progress()),
    ):
        with pytest.raises(Superseded):
            await step()
    with pytest.raises(EventNotFound):
        await gala.promotion.run(claim, Progress())
    assert await gala.queue.claim() is None
    assert await owner.fetchval("SELECT error_reason FROM operation") == "EVENT_NOT_FOUND"


async def test_the_same_name_created_anew_meanwhile(
    servers: Any, pool: Database, gala: Builder, owner: Any
) -> None:
    claim = await gala.claimed()
    copy = await gala.built(claim)
    await delete_event(servers, "gala")
    await create(servers, "gala")
    await put(servers, "gala", "new", [20], shot=0)
    for step in (
        lambda: gala.relations.switch(claim, copy, 1, MEASURED),
        lambda: gala.relations.create(claim, 62),
        lambda: gala.relations.copy(claim, copy.relation),
    ):
        with pytest.raises(Superseded):
            await step()
    assert await found_of_all(servers, "gala") == {p: ["new"] if p == 20 else [] for p in PEOPLE}
    assert await schemas(owner) == []


async def test_a_builder_that_was_taken_for_dead_never_switches(
    servers: Any, pool: Database, gala: Builder, owner: Any
) -> None:
    slow, claim = gala, await gala.claimed()
    copy = await slow.built(claim)
    assert await Builder.on(pool).queue.claim() is None
    quick = Builder.on(pool, stale_s=0.0)
    assert await quick.promotion.run(await quick.claimed(), Progress()) is Strategy.HNSW
    before = await found_of_all(servers, "gala")
    with pytest.raises(Superseded):
        await slow.relations.switch(claim, copy, 1, MEASURED)
    event = await slow.relations.event(claim)
    with pytest.raises(Superseded):
        await slow.relations.clean(claim, event, 0, 100)
    with pytest.raises(Superseded):
        await slow.relations.restore(claim, event, 0, 100)
    assert not await slow.queue.report(claim, Progress())
    assert await found_of_all(servers, "gala") == before
    assert len(await schemas(owner)) == 1


@pytest.mark.parametrize("steps", range(5))
async def test_another_server_takes_over_after_any_step(
    servers: Any, pool: Database, gala: Builder, owner: Any, steps: int
) -> None:
    before = await found_of_all(servers, "gala")
    claim = await gala.claimed()
    if steps == 0:
        await gala.relations.create(claim, 62)
    if steps >= 1:
        copy = await gala.built(claim)
    if steps >= 2:
        await gala.relations.switch(claim, copy, 1, MEASURED)
    if steps >= 3:
        await gala.relations.clean(claim, await gala.relations.event(claim), 0, 7)
    if steps >= 4:
        await gala.cleaned(claim)
    heir = Builder.on(pool, stale_s=0.0)
    taken = await heir.claimed()
    assert await heir.promotion.run(taken, Progress()) is Strategy.HNSW
    await heir.queue.finish(taken, Strategy.HNSW)
    assert await found_of_all(servers, "gala") == before
    assert await numbers(pool) == list(range(1, 49))
    assert await owner.fetchval("SELECT count(*) FROM face WHERE event_id >= 0") == 0
    assert [dict(row) for row in await owner.fetch("SELECT state FROM relation")] == [
        {"state": "SERVING"}
    ]
    assert await schemas(owner) == [f"ev_{(await event_of(pool)).relation.number}"]  # type: ignore[union-attr]
    # A graph that is in use is not built again.
    assert await owner.fetchval("SELECT last_value FROM relation_number") == (1 if steps > 1 else 2)


async def test_a_demotion_that_was_broken_off(
    servers: Any, pool: Database, gala: Builder, owner: Any
) -> None:
    claim = await gala.claimed()
    await gala.promotion.run(claim, Progress())
    await gala.queue.finish(claim, Strategy.HNSW)
    for shot in range(3):
        for first in PEOPLE[4::4]:
            await delete(servers, "gala", f"{shot}-{first}")
    await delete(servers, "gala", "2-10")
    before, faces = await found_of_all(servers, "gala"), await numbers(pool)
    assert faces == [1, 2, 3, 4, 17, 18, 19, 20]

    await opened(pool)
    claim = await gala.claimed()
    event = await gala.relations.event(claim)
    await gala.relations.begin_cleaning(claim, event)
    await gala.relations.restore(claim, event, 0, 20)
    await delete(servers, "gala", "0-10")
    before = {person: [p for p in ids if p != "0-10"] for person, ids in before.items()}
    assert await found_of_all(servers, "gala") == before

    heir = Builder.on(pool, stale_s=0.0)
    assert await heir.promotion.run(await heir.claimed(), Progress()) is Strategy.EXACT
    with pytest.raises(Superseded):
        await gala.relations.restore(claim, event, 20, 20)
    assert await found_of_all(servers, "gala") == before
    assert await numbers(pool) == [17, 18, 19, 20]
    assert await schemas(owner) == []
    assert (await index_of(servers, "gala")).faces == 0


async def test_orphans_are_given_up_and_dropped(
    servers: Any, pool: Database, gala: Builder, owner: Any
) -> None:
    claim = await gala.claimed()
    await gala.built(claim)
    await gala.drops.give_up_orphans()
    await gala.drops.drop()
    assert len(await schemas(owner)) == 1
    await gala.queue.finish(claim, Strategy.EXACT)
    await gala.drops.give_up_orphans()
    assert await gala.drops.counts() == {"DROPPING": 1}
    async with owner.transaction():
        await owner.fetch("SELECT * FROM ev_1.face")
        await gala.drops.drop()  # waits for nobody
        assert await gala.drops.counts() == {"DROPPING": 1}
    await gala.drops.drop()
    assert await schemas(owner) == []
    assert await gala.drops.counts() == {}


async def test_old_tombstones_go_and_raise_the_floor(
    servers: Any, pool: Database, gala: Builder, owner: Any
) -> None:
    await delete(servers, "gala", "0-10")
    await delete(servers, "gala", "1-10")
    curator = CuratorRepository(pool, EventReader(PackRegistry()))
    await curator.forget_tombstones(86_400.0)
    assert await owner.fetchval("SELECT count(*) FROM tombstone WHERE event_id >= 0") == 8
    old = (await event_of(pool)).version - 1
    await owner.execute(
        "UPDATE tombstone SET delete_time = now() - interval '2 days' WHERE version = $1", old
    )
    await curator.forget_tombstones(86_400.0)
    assert await owner.fetchval("SELECT count(*) FROM tombstone WHERE event_id >= 0") == 4
    assert (await event_of(pool)).tombstone_floor == old


async def test_a_build_that_outlived_its_tombstones_is_not_used(
    servers: Any, pool: Database, gala: Builder, owner: Any
) -> None:
    claim = await gala.claimed()
    copy = await gala.built(claim)
    await delete(servers, "gala", "0-10")
    await owner.execute("UPDATE tombstone SET delete_time = now() - interval '2 days'")
    await CuratorRepository(pool, EventReader(PackRegistry())).forget_tombstones(86_400.0)
    with pytest.raises(Superseded):
        await gala.relations.switch(claim, copy, 1, MEASURED)
    assert await found(servers, "gala", 10) == ["1-10", "2-10"]


async def test_recall_is_measured_and_kept(servers: Any, pool: Database, gala: Builder) -> None:
    claim = await gala.claimed()
    copy = await gala.built(claim)
    await gala.relations.switch(claim, copy, 1, Measured(1, 0.25))
    event = await event_of(pool)
    assert (await index_of(servers, "gala")).recall == 0.25
    await gala.recall.remeasure(event)
    index = await index_of(servers, "gala")
    assert index.recall == 1.0
    assert gala.metrics.registry.get_sample_value("facepass_index_recall_count") == 1.0
