"""What a graph finds is measured against comparing every face, and it is searched more widely where
that is too little."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import asyncpg
import numpy as np
import pytest
from crowd import Crowd
from facepass.v1 import searcher_pb2
from large_events import GRAPH, NO_MEMORY, SCAN, fill, finished, index_of, indexing, optimize

from common.db.events import EventReader, PackRegistry
from common.db.faces import EventFaces
from common.db.opening import open_database
from common.db.pool import Database
from common.event import Event, EventSettings
from common.metrics import Metrics
from common.vision.fake.engine import FakeEngine
from indexer.graphs.recall import RecallWatch, enough, in_vain
from indexer.graphs.recall_repository import RecallRepository, fresh_views, lowest_similarity
from indexer.graphs.relation_repository import Measured

pytestmark = pytest.mark.takes(60)

NARROW = 2
# Strangers' similarities are spread by 0.127 at 62 dimensions: each probe has a few dozen matches.
LOW = EventSettings(min_similarity=0.32)
SAME = 0.99


@pytest.fixture
async def pool(database: Any) -> AsyncIterator[Database]:
    async with open_database(database.settings) as opened:
        yield opened


@pytest.fixture
async def event(database: Any, vision: Any, serving: Any, pool: Database) -> Event:
    """An event of 3,000 faces with a graph, searched narrowly at a low threshold."""
    crowd = await Crowd.gathered(pool, "gala", 60, 50)
    settings = indexing(hnsw_min_faces=1000, ef_construction=48)
    async with serving(database.settings, vision, indexer_settings=settings) as servers:
        operation = await crowd.operations.open(await crowd.event())
        await finished(servers, f"operations/{operation.operation_id}")
    event = await crowd.event()
    assert event.relation is not None
    return replace(
        event,
        fields=replace(event.fields, settings=LOW),
        relation=replace(event.relation, ef_search=NARROW),
    )


async def ef_search_of(pool: Database, event: Event) -> int:
    async with pool.transaction() as connection:
        now = await EventReader(PackRegistry()).get(connection, event.name)
    assert now.relation is not None
    return now.relation.ef_search


async def ask_for(servers: Any, event: Event, probe: Any) -> Any:
    """Search for the face of which this is the template."""
    embedding = {"values": probe.tolist(), "pack": FakeEngine().pack.key}
    return await servers.searcher.Search(
        searcher_pb2.SearchRequest(
            event=str(event.name),
            probes=[searcher_pb2.Probe(embedding=embedding)],
            min_similarity=SAME,
        )
    )


def actions(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.__dict__.get("action", "") for record in caplog.records]


async def test_below_the_target_it_is_searched_more_widely(
    event: Event, pool: Database, caplog: pytest.LogCaptureFixture
) -> None:
    repository, metrics = RecallRepository(pool), Metrics()
    caplog.set_level(logging.WARNING)
    await RecallWatch(repository, metrics, 0.01).remeasure(event)
    assert await ef_search_of(pool, event) == NARROW and "ef_search_raised" not in actions(caplog)
    wanted = await RecallWatch(repository, metrics, 1.0).measure(event)
    assert wanted.recall is not None and wanted.ef_search > NARROW
    assert "ef_search_raised" in actions(caplog)
    assert metrics.registry.get_sample_value("facepass_index_recall_count") == 2


async def test_a_choice_leaves_room_for_other_probes(event: Event, pool: Database) -> None:
    """One that reaches its target by a hair with these would miss it with the next."""
    measured = await RecallWatch(RecallRepository(pool), Metrics(), 0.9).measure(event)
    assert measured.recall is not None and measured.recall >= 0.95


async def test_a_graph_that_gives_nothing_is_not_believed(
    event: Event, database: Any, pool: Database, vision: Any, serving: Any
) -> None:
    """No path may lead to a person: so who is in no photo is told so of all faces alone."""
    assert event.relation is not None
    event = replace(event, relation=replace(event.relation, ef_search=1))
    everybody, strangers = range(1, 3_001), range(5_000, 5_005)
    async with pool.snapshot(event.name) as connection:
        faces = EventFaces(connection, event)
        read = await faces.templates_by_no(everybody)
        there = {number: template for number, (_, template) in read.items()}
        by_graph = {n: await faces.nearest(there[n], SAME, 1) for n in everybody}
    in_vain = [number for number, found in by_graph.items() if found is None]
    assert [] not in by_graph.values() and 0 < len(in_vain) < len(by_graph) / 2
    people = [*in_vain[:10], *range(1, 11)]
    repository = RecallRepository(pool)
    await repository.keep(event, 1, None)
    async with serving(database.settings, vision, searcher_settings=NO_MEMORY) as servers:
        answers = [await ask_for(servers, event, there[number]) for number in people]
        assert [len(answer.matches) for answer in answers] == [1] * len(people)
        sources = [answer.source for answer in answers]
        assert sources == [SCAN if by_graph[n] is None else GRAPH for n in people]
        assert [answer.exact for answer in answers] == [source == SCAN for source in sources]
        for number in strangers:
            nobody = await ask_for(servers, event, FakeEngine().embedding(number))
            assert not nobody.matches and nobody.source == SCAN and nobody.exact


async def test_what_was_measured_is_kept_for_that_graph_only(event: Event, pool: Database) -> None:
    watch = RecallWatch(RecallRepository(pool), Metrics(), 1.0)
    await watch.remeasure(event)
    stored = await ef_search_of(pool, event)
    assert stored > NARROW
    assert event.relation is not None
    repository = RecallRepository(pool)
    other = replace(event, relation=replace(event.relation, number=event.relation.number + 1))
    await repository.keep(other, 7, 0.5)
    assert await ef_search_of(pool, event) == stored


async def test_each_probe_is_a_face_that_is_there(event: Event, pool: Database) -> None:
    repository = RecallRepository(pool)
    numbers = range(2990, 3020)
    probes = await repository.probes(event, numbers, 100)
    assert 0 < len(probes) <= 11
    assert len(await repository.probes(event, numbers, 3)) <= 3
    reach = await repository.reach(event, 400)
    assert reach == 400
    for probe in probes:
        assert np.linalg.norm(probe.vector) == pytest.approx(1, abs=1e-3)
        look = await repository.look(event, probe, 400, reach)
        assert look.wanted == len(probe.wanted) > 0
        assert 0 < look.found <= look.wanted and not look.under_returned
    assert await repository.probes(event, range(7000, 7010), 100) == []


async def test_what_is_to_be_found_is_what_comparing_every_face_finds(
    event: Event, pool: Database
) -> None:
    probes = await RecallRepository(pool).probes(event, range(40), 40)
    assert len(probes) > 30
    async with pool.snapshot(event.name) as connection:
        faces = EventFaces(connection, event)
        for probe in probes:
            there = await faces.exact(probe.vector, lowest_similarity(event))
            assert probe.wanted == {each.face_no for each in there}


def test_a_graph_is_searched_no_wider_than_helps() -> None:
    def measured(*recalls: float | None) -> list[Measured]:
        return [Measured(100 + 25 * step, recall) for step, recall in enumerate(recalls)]

    assert not in_vain(measured(0.99, 0.992, 0.9921))
    assert not in_vain(measured(0.99, 0.992, 0.9921, 0.9922))
    stuck = measured(0.99, 0.992, 0.9921, 0.9922, 0.9923)
    assert in_vain(stuck)
    assert enough(stuck) == stuck[1]
    assert enough(measured(0.98, 0.999)).ef_search == 125
    assert enough(measured(None)).recall is None


def test_a_view_is_as_similar_as_another_shot_and_no_copy() -> None:
    rng = np.random.default_rng(1)

    def near(middle: Any, count: int) -> Any:
        shots = middle + 0.8 * rng.standard_normal((count, 256)) / 16
        return np.float32(shots / np.linalg.norm(shots, axis=1, keepdims=True))

    middles = rng.standard_normal((40, 256)) / 16
    people = [near(middle, 20 + n % 9) for n, middle in enumerate(middles)]
    views = fresh_views(people)
    among = [shots[0] @ other for shots in people for other in shots[1:]]
    to_views = [view @ other for view, shots in zip(views, people, strict=True) for other in shots]
    assert np.mean(to_views) == pytest.approx(np.mean(among), abs=0.03)
    assert max(to_views) < 0.9
    assert all(np.linalg.norm(view) == pytest.approx(1, abs=1e-5) for view in views)


def test_people_of_one_shot_are_looked_for_where_there_are_no_others() -> None:
    single = np.eye(8, dtype=np.float32)[:1]
    several = np.eye(8, dtype=np.float32)[1:5]
    assert (fresh_views([single])[0] == single[0]).all()
    assert len(fresh_views([single, several])) == 2
    assert len(fresh_views([single, several, several])) == 2
    assert fresh_views([]) == []


async def test_graphs_in_use_are_measured_in_turn(
    database: Any, vision: Any, serving: Any, pool: Database
) -> None:
    settings = indexing(recall_interval_s=0.1)
    owner = await asyncpg.connect(database.owner_dsn)
    async with serving(database.settings, vision, indexer_settings=settings) as servers:
        for name in ("gala", "fair"):
            await fill(servers, name, shots=2)
            await optimize(servers, name)
        await owner.execute("UPDATE event SET relation_recall = NULL")
        async with asyncio.timeout(30):
            measured = "SELECT count(relation_recall) FROM event"
            while await owner.fetchval(measured) < 2:  # noqa: ASYNC110 - the database says when
                await asyncio.sleep(0.05)
        assert (await index_of(servers, "gala")).recall == 1.0
    await owner.close()
