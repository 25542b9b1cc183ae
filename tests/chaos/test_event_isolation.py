"""No search answers with another event's faces, and none is slowed or thinned by its neighbours."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from statistics import median
from time import monotonic, perf_counter
from types import SimpleNamespace
from typing import Any

import asyncpg
import numpy as np
import pytest
from gallery_world import EMBEDDINGS, PACK, Look, World, embedding, open_world, photo_write
from numpy.typing import NDArray
from pydantic import SecretStr

from common.config import DatabaseSettings, ImageLimits, QuotaSettings
from common.db.codec import register_codecs
from common.errors import EventNotFound, FacePassError, PhotoNotFound
from common.event import EventFields
from common.metrics import Metrics
from common.names import EventName
from common.photo import FoundPhoto, StoredFace
from common.quotas.people import PeopleBudget
from common.quotas.quotas import open_quotas
from indexer.graphs import recall
from indexer.graphs.operations import Superseded
from searcher.config import SearcherServerSettings
from searcher.probes import EmbeddingProbe, ProbeReader
from searcher.repository import Source
from searcher.search import Answer, Query, Search
from searcher.thresholds import Cut
from standalone.embedded import Role

pytestmark = pytest.mark.takes(63)

EVENTS, RANGE = 4, 10_000
"""Each event numbers photos and faces in a range of its own, so that any row tells its event."""
ALL_SOURCES = {Source.MEMORY, Source.SCAN, Source.GRAPH}
SMALL, FOREIGN_EVENTS = EventName("small"), 20


def tell(_: EventName, face: StoredFace, photo: FoundPhoto) -> bytes:
    """Whose row it is."""
    return f"{photo.info.photo_id} {face.photo_no} {face.face_no}".encode()


async def ask(
    world: World, event: EventName, probe: Look, *, hot: bool, exact: bool = False
) -> Answer:
    metrics = Metrics()
    quotas = open_quotas(QuotaSettings(), world.database, metrics)
    probes = ProbeReader(world._vision, SearcherServerSettings(), ImageLimits(), quotas)
    galleries, people = world.hot if hot else world.cold, PeopleBudget(0, metrics)
    database = world.database
    search = Search(
        database, database, world.reader, probes, PACK, galleries, tell, people, metrics
    )
    asked = EmbeddingProbe(EMBEDDINGS[probe], PACK.key)
    return await search.search(Query(event, [asked], Cut(1e-6), True, exact, None, 1000))


@dataclass
class Crowds:
    """Events of identical twins that are written, built, deleted and searched all at once."""

    world: World
    owner: asyncpg.Connection
    chances: random.Random
    photos: int
    """Of each event."""
    results: int = 0
    foreign: int = 0
    gone: int = 0
    changes: dict[str, int] = field(default_factory=dict)
    sources: set[Source] = field(default_factory=set)
    names: Sequence[EventName] = tuple(EventName(f"twins-{n}") for n in range(EVENTS))

    async def create(self, number: int) -> None:
        """An event with the photos that all have, numbered in its range."""
        name = self.names[number]
        await self.world.events.create(name, EventFields(), None)
        await self.owner.execute(
            "UPDATE event SET next_photo_no = $2, next_face_no = $2 WHERE event_id = $1",
            name.key,
            1 + number * RANGE,
        )
        await self.index(number, range(self.photos))

    async def index(self, number: int, photos: Sequence[int]) -> None:
        name, looks = self.names[number], sorted(EMBEDDINGS)
        writes = [
            photo_write(
                f"{name.event}-{photo}",
                (looks[photo % len(looks)], *looks[photo % 3 :: 3]),
                replace=False,
            )
            for photo in photos
        ]
        await self.world.writes.write(await self.world.events.get(name), writes)

    async def build(self, number: int, least: int) -> None:
        """Give the event a graph, or take it away, by its faces and `least`."""
        work, stepping = await self.world.begin_build(self.names[number], least)
        while not work.done():
            await stepping.step(work)
        assert isinstance(work.exception(), Superseded | None), work.exception()

    async def change(self, number: int) -> None:
        """Anything that can happen to an event."""
        name = self.names[number]
        what = self.chances.choices(
            ["photo", "promote", "demote", "delete", "expire"], [20, 4, 2, 1, 1]
        )[0]
        if what == "photo":
            photo = self.chances.randrange(self.photos)
            photo_name = name.photo(f"{name.event}-{photo}")
            await self.world.photos.delete_photo(photo_name, validate_only=False)
            await self.index(number, [photo])
        elif what in ("promote", "demote"):
            await self.build(number, least=1 if what == "promote" else 10**6)
        elif what == "delete":
            await self.world.events.delete(name, "", validate_only=False)
            await self.create(number)
        else:
            past = replace(EventFields(), expire_time=await self.owner.fetchval("SELECT now()"))
            await self.world.events.update(name, "", lambda _: past)
            await self.create(number)
        self.changes[what] = self.changes.get(what, 0) + 1

    async def search(self) -> None:
        number = self.chances.randrange(EVENTS)
        probe = self.chances.choice(sorted(EMBEDDINGS))
        hot, exact = self.chances.random() < 0.8, self.chances.random() < 0.1
        try:
            answer = await ask(self.world, self.names[number], probe, hot=hot, exact=exact)
        except EventNotFound:
            self.gone += 1
            return
        self.sources.add(answer.source)
        ours = range(1 + number * RANGE, 1 + (number + 1) * RANGE)
        for match in answer.matches:
            _, photo_no, face_no = match.candidate.position
            photo_id, *numbers = match.told.decode().split()
            right = photo_id.startswith(f"{self.names[number].event}-")
            right = right and numbers == [str(photo_no), str(face_no)]
            self.foreign += not (right and photo_no in ours and face_no in ours)
        self.results += len(answer.matches)


@pytest.mark.timeout(1800)
async def test_no_result_is_of_another_event(
    database: Any, vision: Any, long: bool, seed: int, figure: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    # Graphs come and go faster where their recall is not looked at so closely.
    monkeypatch.setattr(recall, "FEWEST_PROBES", 10)
    monkeypatch.setattr(recall, "_TRIES", 100)
    photos, results, changes = (150, 1_000_000, 100) if long else (30, 10_000, 10)
    owner = await asyncpg.connect(database.owner_dsn)
    patient = {"pool_size": 12, "acquire_timeout_s": 60.0}
    settings = database.settings.model_copy(update=patient)
    async with open_world(SimpleNamespace(settings=settings), vision) as world:
        crowds = Crowds(world, owner, random.Random(seed), photos)
        for number in range(EVENTS):
            await crowds.create(number)

        async def go_on(work: Callable[[], Awaitable[None]]) -> None:
            while (
                crowds.results < results
                or sum(crowds.changes.values()) < changes
                or not crowds.sources >= ALL_SOURCES
            ):
                await work()

        await crowds.build(0, least=1)
        async with asyncio.TaskGroup() as tasks:
            for number in range(EVENTS):
                tasks.create_task(go_on(partial(crowds.change, number)))
            for _ in range(3):
                tasks.create_task(go_on(crowds.search))
        await world.hot.settled()
    await owner.close()
    assert crowds.foreign == 0
    figure(
        "twins-in-every-event",
        page="security",
        done=f"{EVENTS} events with identical faces searched by memory, scan and graph, while "
        "photos were deleted and added, graphs built and removed, events deleted and expired",
        results=crowds.results,
        changes=sum(crowds.changes.values()),
        of_another_event=crowds.foreign,
    )


def around(probe: NDArray[np.float32], count: int, seed: int) -> NDArray[np.float32]:
    """(count, D): nearer to the probe than most faces of its own event."""
    vectors = probe + 0.1 * np.random.default_rng(seed).standard_normal((count, len(probe)))
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / lengths, dtype=np.float32)


async def surround(owner_dsn: str, probe: NDArray[np.float32], count: int) -> None:
    """Add other events' faces around a probe, as if they had been indexed."""
    owner = await asyncpg.connect(owner_dsn)
    await register_codecs(owner)
    for number in range(FOREIGN_EVENTS):
        key, each = EventName(f"foreign-{number}").key, count // FOREIGN_EVENTS
        rows = [
            (key, 1, face, 1, 1, *[0.0] * 11, [0.0] * 10, vector)
            for face, vector in enumerate(around(probe, each, number))
        ]
        await owner.copy_records_to_table("face", records=rows)
    await owner.execute("VACUUM (ANALYZE) face")
    await owner.close()


@asynccontextmanager
async def small_event(database: Any, vision: Any) -> AsyncIterator[World]:
    """50 faces."""
    looks = sorted(EMBEDDINGS)
    async with open_world(database, vision) as world:
        await world.events.create(SMALL, EventFields(), None)
        event = await world.events.get(SMALL)
        writes = [
            photo_write(f"photo-{n}", tuple(looks[(5 * n + i) % len(looks)] for i in range(5)),
                        replace=False)
            for n in range(10)
        ]  # fmt: skip
        outcomes = await world.writes.write(event, writes)
        assert not any(isinstance(each, FacePassError | PhotoNotFound) for each in outcomes)
        yield world


def wanted_of(probe: Look) -> int:
    """By comparing all 50."""
    looks = sorted(EMBEDDINGS)
    shown = [embedding(looks[(5 * n + i) % len(looks)]) for n in range(10) for i in range(5)]
    return sum(float(one @ EMBEDDINGS[probe]) >= 1e-6 for one in shown)


def same_distribution(one: Sequence[float], other: Sequence[float]) -> float:
    """p of the two-sample Kolmogorov-Smirnov test, by its limit."""
    a, b = np.sort(one), np.sort(other)
    every = np.concatenate([a, b])
    shares = [np.searchsorted(each, every, side="right") / len(each) for each in (a, b)]
    apart = np.abs(shares[0] - shares[1]).max() * (len(a) * len(b) / (len(a) + len(b))) ** 0.5
    k = np.arange(1, 101)
    return float(np.clip(2 * np.sum((-1.0) ** (k - 1) * np.exp(-2 * (k * apart) ** 2)), 0, 1))


@pytest.mark.alone
@pytest.mark.timeout(900)
async def test_neighbours_neither_thin_nor_slow_an_event(
    postgres: Any, template: str, vision: Any, long: bool, figure: Callable[..., None]
) -> None:
    """Two databases with the same small event, in one of them among faces of others."""
    foreign, rounds = (200_000, 500) if long else (5_000, 50)
    names = ["t_alone", "t_among_others"]
    for name in names:
        postgres.create_database(name, template=template)
    alone, among = [
        SimpleNamespace(settings=DatabaseSettings(dsn=SecretStr(postgres.dsn(Role.SERVER, name))))
        for name in names
    ]
    probe = sorted(EMBEDDINGS)[0]
    await surround(postgres.dsn(Role.OWNER, names[1]), EMBEDDINGS[probe], foreign)
    counts: set[tuple[Source, int]] = set()
    took: dict[str, list[float]] = {"scan": [], "scan_among": [], "memory": [], "memory_among": []}
    async with small_event(alone, vision) as quiet, small_event(among, vision) as busy:
        for _ in range(rounds):
            for world, suffix in ((quiet, ""), (busy, "_among")):
                for kind, hot in (("scan", False), ("memory", True)):
                    started = perf_counter()
                    answer = await ask(world, SMALL, probe, hot=hot)
                    took[kind + suffix].append(perf_counter() - started)
                    counts.add((answer.source, answer.total))
        for world in (quiet, busy):
            work, stepping = await world.begin_build(SMALL, 1)
            until = monotonic() + 60
            while not work.done() and monotonic() < until:
                await stepping.step(work)
            await work
            answer = await ask(world, SMALL, probe, hot=False)
            counts.add((answer.source, answer.total))
    for name in names:
        postgres.drop_database(name)
    wanted = wanted_of(probe)
    assert counts == {(source, wanted) for source in ALL_SOURCES}
    shifts, told = {}, {}
    for kind in ("scan", "memory"):
        one, other = took[kind][10:], took[f"{kind}_among"][10:]
        shifts[kind] = median(other) / median(one) - 1
        told[kind] = same_distribution(one, other)
        if long:
            assert told[kind] > 0.01 or abs(shifts[kind]) <= 0.05, (kind, shifts, told)
    figure(
        "foreign-faces-around",
        page="security",
        done=f"an event of 50 faces searched {rounds:,} times by scan and by memory, with and "
        f"without {foreign:,} faces of other events around the probe, by turns",
        results_of_each_search=wanted,
        by_brute_force=wanted,
        median_shift_of_scans=f"{shifts['scan']:+.1%}",
        median_shift_of_memory=f"{shifts['memory']:+.1%}",
    )
