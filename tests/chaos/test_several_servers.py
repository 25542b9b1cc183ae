"""Two Indexers and two Searchers: what one took, both find; one of them dies or is restarted, and
callers do not notice."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from audit import Audit
from burst import PHOTOS, struck_midway
from facepass import AsyncClient, FacePassError, PhotoSource
from fleet import Member, Place
from journal import Journal
from seeded_client import SeededClient

from common.vision.fake.photos import fake_photo

pytestmark = pytest.mark.takes(220)

CALLERS = 4
PAUSE_S = 0.01
CLIENTS_COME_BACK_S = 5.0
"""As long as docs/scaling.md says to wait before the next server is restarted."""


class Callers:
    """Callers of what may be repeated, one call after the other; nobody tries a call again but the
    client itself. `ends`: how calls ended, by method."""

    def __init__(self, client: AsyncClient, event: str, photo: str, face: str) -> None:
        self._client = client
        self._event, self._photo, self._face = event, photo, face
        self.ends: Counter[str] = Counter()

    @asynccontextmanager
    async def calling(self) -> AsyncIterator[None]:
        """Call for as long as the context lasts."""
        over = asyncio.Event()
        tasks = [asyncio.create_task(self._call(over)) for _ in range(CALLERS)]
        try:
            yield
        finally:
            over.set()
            await asyncio.gather(*tasks)

    async def _call(self, over: asyncio.Event) -> None:
        while not over.is_set():
            for name in ("search", "get_photo", "get_event"):
                try:
                    await self._one(name)
                    self.ends["OK"] += 1
                except FacePassError as error:
                    self.ends[f"{name} {error}"] += 1
            await asyncio.sleep(PAUSE_S)

    async def _one(self, name: str) -> None:
        if name == "search":
            found = await self._client.search(self._event, self._face)
            assert self._photo in {match.photo for match in found.matches}
        elif name == "get_photo":
            await self._client.get_photo(self._event, self._photo)
        else:
            await self._client.get_event(self._event)

    @property
    def failed(self) -> int:
        return self.ends.total() - self.ends["OK"]


async def callers(client: AsyncClient, event: str) -> Callers:
    """Callers about an event that has one photo."""
    await client.create_event(event)
    result = await client.index_photo(event, PhotoSource("first", fake_photo([1])))
    return Callers(client, event, result.photo.name, result.photo.faces[0].name)


async def test_what_one_server_took_all_find(place: Place, long: bool) -> None:
    """Both Searchers have the gallery in memory; photos come and go by both Indexers in turn."""
    running = place.fleet
    photos = 200 if long else 20
    async with (
        AsyncClient(indexer=running.of("indexer")[0].address, searcher="localhost:1") as one,
        AsyncClient(indexer=running.of("indexer")[1].address, searcher="localhost:1") as other,
        AsyncClient(searcher=running.of("searcher")[0].address) as left,
        AsyncClient(searcher=running.of("searcher")[1].address) as right,
    ):
        await one.create_event("fresh")
        first = await one.index_photo("fresh", PhotoSource("first", fake_photo([1])))
        face = first.photo.faces[0].name
        for searcher in (left, right, left, right):
            await searcher.search("fresh", face)
        for number in range(photos):
            taking, removing = (one, other) if number % 2 else (other, one)
            source = PhotoSource(f"p-{number}", fake_photo([1], shot=number % 8))
            photo = (await taking.index_photo("fresh", source)).photo.name
            for present in (True, False):
                answers = await asyncio.gather(
                    *(each.search("fresh", face) for each in (left, right))
                )
                for answer in answers:
                    assert (photo in {match.photo for match in answer.matches}) == present
                if present:
                    await removing.delete_photo("fresh", photo)


@pytest.mark.timeout(800)
async def test_one_of_two_servers_is_killed(
    place: Place, long: bool, seed: int, figure: Any
) -> None:
    kills, choice = (10 if long else 1), random.Random(seed)
    running = place.fleet
    journal = Journal(place.folder / "killed.jsonl", seed)
    async with AsyncClient(indexer=running.indexers, searcher=running.searchers) as client:
        repeated = await callers(client, "killed-calls")
        await client.create_event("killed")
        seeded = SeededClient(client, "killed", journal, seed)
        async with repeated.calling():
            for _ in range(kills):
                victims = [choice.choice(running.of(kind)) for kind in ("indexer", "searcher")]
                await struck_midway(seeded, choice, partial(_all_killed, victims))
        audit = await Audit.of(journal.path, place.owner_dsn, client, "killed")
        audit.assert_clean()
        await seeded.settle()
    assert repeated.failed == 0, repeated.ends
    figure(
        "One of two Indexers and one of two Searchers killed",
        done="SIGKILL of both at once, while a stream of photos and "
        f"{CALLERS} callers go on; both are started again",
        kills=2 * kills,
        **Audit.told([audit]),
        other_calls=repeated.ends.total(),
        failed=repeated.failed,
    )


async def _all_killed(victims: list[Member]) -> None:
    await asyncio.gather(*(victim.killed_and_back() for victim in victims))


@pytest.mark.slow
@pytest.mark.timeout(800)
async def test_servers_are_restarted_one_after_the_other(
    place: Place, long: bool, seed: int, figure: Any
) -> None:
    rounds = 3 if long else 1
    running = place.fleet
    journal = Journal(place.folder / "rolled.jsonl", seed)

    async def roll() -> None:
        for _ in range(rounds):
            for one, other in zip(running.of("indexer"), running.of("searcher"), strict=True):
                await asyncio.gather(one.restarted(), other.restarted())
                await asyncio.sleep(CLIENTS_COME_BACK_S)

    async with AsyncClient(indexer=running.indexers, searcher=running.searchers) as client:
        repeated = await callers(client, "rolled-calls")
        await client.create_event("rolled")
        seeded = SeededClient(client, "rolled", journal, seed)
        async with repeated.calling():
            rolling = asyncio.create_task(roll())
            while not rolling.done():
                await seeded.burst(PHOTOS, lambda _: None)
            await rolling
        audit = await Audit.of(journal.path, place.owner_dsn, client, "rolled")
        audit.assert_clean()
    assert repeated.failed == 0, repeated.ends
    assert audit.unknown == 0
    assert not any("Traceback" in member.said() for member in running.members)
    figure(
        "Two Indexers and two Searchers restarted one after the other",
        done="SIGTERM, and the next 5 s after it serves again, while a stream of photos and "
        f"{CALLERS} callers go on",
        restarts=4 * rounds,
        **Audit.told([audit]),
        other_calls=repeated.ends.total(),
        failed=repeated.failed,
    )
