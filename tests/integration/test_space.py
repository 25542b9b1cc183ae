"""A limit on the database's size: photos are refused at it, and taken again well below it."""

import asyncio
from typing import Any

import asyncpg
import grpc
import pytest
from facepass.v1 import events_pb2, indexer_pb2
from fault_load import create_event, search, send

from common.vision.fake.photos import fake_photo
from indexer.config import IndexerServerSettings, IndexerSettings, StorageSettings

BALLAST = """
CREATE TABLE ballast AS SELECT repeat('x', 100) AS text FROM generate_series(1, {rows})
"""
FREE_PORTS = IndexerServerSettings(listen="127.0.0.1:0", metrics_listen="127.0.0.1:0")


async def test_photos_are_refused_while_the_database_is_too_large(
    database: Any, vision: Any, serving: Any
) -> None:
    owner = await asyncpg.connect(database.owner_dsn)
    empty = await owner.fetchval("SELECT pg_database_size(current_database())")
    settings = IndexerSettings(
        indexer=FREE_PORTS, storage=StorageSettings(max_database_bytes=int(empty * 1.15))
    )
    async with serving(database.settings, vision, indexer_settings=settings) as servers:
        await create_event(servers.indexer_channel)
        assert await send(servers.indexer, "before", 10) == "INDEXED"
        await owner.execute(BALLAST.format(rows=empty // 500))
        refused = await until_refused(servers)
        assert refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "FACEPASS_STORAGE__MAX_DATABASE_BYTES" in (refused.details() or "")
        # What is there already is no news, is found, and can be deleted.
        await search(servers.searcher, 10)
        await servers.events.GetEvent(events_pb2.GetEventRequest(name="events/gala"))
        name = "events/gala/photos/before"
        await servers.indexer.DeletePhoto(indexer_pb2.DeletePhotoRequest(name=name))
        await owner.execute("DROP TABLE ballast")
        for _ in range(100):
            if (last := await told(servers, "after")) == "INDEXED":
                break
            await asyncio.sleep(0.1)
        assert last == "INDEXED"
    await owner.close()


async def told(servers: Any, photo_id: str) -> str:
    try:
        return await send(servers.indexer, photo_id, 10)
    except grpc.aio.AioRpcError as error:
        return error.code().name


async def until_refused(servers: Any) -> grpc.aio.AioRpcError:
    """What a stream that begins is refused with."""

    async def requests() -> Any:
        config = indexer_pb2.IndexPhotosConfig(event="events/gala")
        yield indexer_pb2.IndexPhotosRequest(config=config)
        yield indexer_pb2.IndexPhotosRequest(photo=indexer_pb2.PhotoHeader(photo_id="x"))
        chunk = indexer_pb2.PhotoChunk(data=fake_photo([1]), last=True)
        yield indexer_pb2.IndexPhotosRequest(chunk=chunk)

    async with asyncio.timeout(20):
        while True:
            try:
                async for _ in servers.indexer.IndexPhotos(requests()):
                    pass
            except grpc.aio.AioRpcError as error:
                return error
            await asyncio.sleep(0.1)
    pytest.fail("it was never refused")
