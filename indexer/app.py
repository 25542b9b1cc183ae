"""The indexing server, put together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
from facepass.v1 import events_pb2_grpc, indexer_pb2_grpc

from common.db.events import EventReader, PackRegistry
from common.db.pool import open_database
from common.metrics import Metrics
from common.rpc.server import RunningServer, serving
from common.vision.types import Vision
from indexer.config import IndexerSettings
from indexer.event_repository import EventRepository
from indexer.event_service import EventsServicer
from indexer.indexing import PhotoIndexing
from indexer.pending import PendingPhotos
from indexer.repository import PhotoRepository
from indexer.service import IndexerServicer
from indexer.write_repository import WriteRepository
from indexer.writer import PhotoWriter

SERVICES = ("facepass.v1.Events", "facepass.v1.Indexer")


@asynccontextmanager
async def running(settings: IndexerSettings, vision: Vision) -> AsyncIterator[RunningServer]:
    """Serve Events and Indexer for as long as the context lasts. Raises SetupError."""
    async with open_database(settings.database) as database:
        metrics = Metrics()
        packs = PackRegistry()
        async with database.transaction() as connection:
            pack = await packs.register(connection, vision.pack)
        reader = EventReader(packs)
        events = EventRepository(database, reader)
        photos = PhotoRepository(database, reader)
        writer = PhotoWriter(WriteRepository(database, reader, pack))
        pending = PendingPhotos(photos, metrics)
        indexing = PhotoIndexing(vision, photos, writer, pending, metrics)
        servicer = IndexerServicer(events, photos, indexing, settings.indexer, settings.limits)

        def register(server: grpc.aio.Server) -> None:
            events_pb2_grpc.add_EventsServicer_to_server(EventsServicer(events), server)
            indexer_pb2_grpc.add_IndexerServicer_to_server(servicer, server)

        async with (
            pending.reporting(),
            serving(
                settings.indexer,
                metrics,
                SERVICES,
                register,
                max_request_bytes=settings.limits.max_photo_bytes,
            ) as server,
        ):
            yield server
        await writer.finish()
