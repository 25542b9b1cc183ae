"""Servers that run while the next release's migrations add to the tables."""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import asyncpg
import pytest
from facepass import AsyncClient, PhotoSource, Unavailable
from facepass.v1 import types_pb2

from common.vision.fake.photos import fake_photo

# Not `photo` and `face`: their rows are written whole. What is new about them goes into tables of
# its own.
WIDENED = ("event", "erasure", "tombstone", "ingest", "searcher", "audit")


def photos(names: range) -> Iterator[PhotoSource]:
    for number in names:
        yield PhotoSource(f"photo-{number}", fake_photo([1], shot=number % 8))


async def again(call: Callable[..., Awaitable[object]], *names: str) -> None:
    """Call; once more where the server had to prepare its statements anew."""
    for _ in range(5):
        try:
            await call(*names)
            return
        except Unavailable:
            continue
    pytest.fail("it is not prepared anew")


async def test_they_go_on_as_they_are(servers: Any, database: Any) -> None:
    async with AsyncClient(
        indexer=servers.indexer_address, searcher=servers.searcher_address
    ) as client:

        async def index(names: range) -> None:
            states = [each.state async for each in client.index_photos("gala", photos(names))]
            assert states == [types_pb2.PHOTO_STATE_INDEXED] * len(names)

        await client.create_event("gala")
        await index(range(8))
        assert (await client.search("gala", fake_photo([1]))).total_matches == 8
        await client.delete_photo("gala", "photo-0")
        owner = await asyncpg.connect(database.owner_dsn)
        for table in WIDENED:
            await owner.execute(f"ALTER TABLE {table} ADD COLUMN of_the_next_release integer")
        await owner.close()
        assert (await client.search("gala", fake_photo([1]))).total_matches == 7
        await index(range(8, 16))
        await again(client.delete_photo, "gala", "photo-1")
        assert (await client.search("gala", fake_photo([1]))).total_matches == 14
        assert len([event async for event in client.list_events()]) == 1
        await again(client.delete_event, "gala")
