"""What is committed between two statements of a search: its answer is that of before or of after,
never a mixture."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from gallery_world import (
    Expected,
    ModelPhoto,
    World,
    brute_force,
    open_world,
    photo_write,
)

from common.db.pool import Database
from common.errors import EventNotFound
from common.event import EventFields
from common.names import EventName
from searcher.repository import Source

EVENT = EventName("gala")
PROBE, LOWEST = (0, 0), 1e-6
Between = Callable[[], Awaitable[None]]


class Interrupted(Database):
    """The same database; something happens before one of a search's statements outside a
    transaction."""

    def __init__(self, database: Database, statement: int, between: Between) -> None:
        self._database = database
        self._left = statement
        self._between = between
        self.happened = False

    @asynccontextmanager
    async def statements(self, event: EventName | None = None) -> AsyncIterator[Any]:
        async with self._database.statements(event) as connection:
            yield _Connection(connection, self._before)

    @asynccontextmanager
    async def _transaction(self, *args: Any, **options: Any) -> AsyncIterator[Any]:
        async with self._database._transaction(*args, **options) as connection:
            yield connection

    async def _before(self) -> None:
        self._left -= 1
        if self._left == 0:
            self.happened = True
            await self._between()


class _Connection:
    def __init__(self, connection: Any, before: Between) -> None:
        self._connection = connection
        self._before = before

    async def fetch(self, *arguments: Any) -> Any:
        await self._before()
        return await self._connection.fetch(*arguments)

    async def fetchrow(self, *arguments: Any) -> Any:
        await self._before()
        return await self._connection.fetchrow(*arguments)


class Party:
    """An event with a few photos, and what a model knows of it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.photos: dict[str, ModelPhoto] = {}

    async def create(self) -> None:
        await self.world.events.create(EVENT, EventFields(), None)
        for n, looks in enumerate([((0, 0), (1, 0)), ((0, 1),), ((2, 0), (0, 2)), ((3, 0),)]):
            await self.add(f"photo-{n}", looks)

    async def add(self, photo: str, looks: tuple[tuple[int, int], ...]) -> None:
        event = await self.world.events.get(EVENT)
        (written,) = await self.world.writes.write(event, [photo_write(photo, looks, replace=True)])
        stored = written.photo  # type: ignore[union-attr]
        faces = {face.face_no: looks[round(face.detection.box.x / 10)] for face in stored.faces}
        self.photos[photo] = ModelPhoto(stored.photo_no, looks, faces)

    async def remove(self) -> None:
        await self.world.photos.delete_photo(EVENT.photo("photo-0"), validate_only=False)
        del self.photos["photo-0"]

    async def replace(self) -> None:
        await self.add("photo-1", ((2, 2), (0, 1)))

    async def arrive(self) -> None:
        await self.add("photo-9", ((0, 1), (0, 2)))

    async def end(self) -> None:
        await self.world.events.delete(EVENT, "", validate_only=False)
        self.photos = {}

    async def begin_anew(self) -> None:
        await self.end()
        await self.world.events.create(EVENT, EventFields(), None)
        await self.add("another", ((0, 1),))

    async def build(self) -> None:
        """Give the event a graph, or renew it."""
        work, stepping = await self.world.begin_build(EVENT, 1)
        while not work.done():
            await stepping.step(work)
        await work

    def whole(self) -> list[Expected]:
        return brute_force(self.photos.values(), PROBE, LOWEST, by_face=True)


HAPPENINGS = ["remove", "replace", "arrive", "end", "begin_anew", "build"]


@pytest.mark.parametrize("kind", ["hot", "scan", "graph", "graph and more"])
async def test_an_answer_is_of_before_or_of_after(database: Any, vision: Any, kind: str) -> None:
    async with open_world(database, vision) as world:
        for happening in HAPPENINGS:
            statement = 1
            while await interrupted(world, kind, happening, statement):
                statement += 1
            # At least once between the first look and the last.
            assert statement > (1 if kind == "hot" else 2), happening


async def interrupted(world: World, kind: str, happening: str, statement: int) -> bool:
    """Search while it happens before that statement; whether there was such a statement."""
    party = Party(world)
    await party.create()
    if kind.startswith("graph"):
        await party.build()
    if kind == "graph and more":
        await party.arrive()
    hot = kind == "hot"

    async def search() -> tuple[list[Expected], Source]:
        return await world.search(
            EVENT, PROBE, LOWEST, by_face=True, hot=hot, exact=False, page_size=1000
        )

    expected = {"hot": Source.MEMORY, "scan": Source.SCAN}.get(kind, Source.GRAPH)
    for _ in range(2):
        _, source = await search()  # the first one brings it into memory
    assert source is expected
    before, whole = party.whole(), world.database
    database = Interrupted(whole, statement, getattr(party, happening))
    world.database = database
    try:
        found: list[Expected] | None = (await search())[0]
    except EventNotFound:
        found = None
    finally:
        world.database = whole
    answers: list[list[Expected] | None] = [before, party.whole()]
    assert found in (answers if happening != "end" else [before, None])
    if party.photos:
        await party.end()
    return database.happened
