"""The indexing server, put together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
from facepass.v1 import events_pb2_grpc, indexer_pb2_grpc
from google.longrunning import operations_pb2_grpc

from common.db.events import EventReader, PackRegistry
from common.db.pool import open_database
from common.db.searchers import STALE_S
from common.metrics import Metrics
from common.pool_metrics import observe_workload
from common.rpc.admission import Admission, Gate, calls_for
from common.rpc.server import RunningServer, serving
from common.vision.types import Vision
from indexer.config import IndexerServerSettings, IndexerSettings
from indexer.erasure.erasing import Erasing
from indexer.erasure.person_repository import PersonRepository
from indexer.erasure.receipt_repository import ReceiptRepository
from indexer.erasure.service import Erasures
from indexer.erasure.settling import Settling
from indexer.event_repository import EventRepository
from indexer.event_service import EventsServicer
from indexer.graphs.background import in_the_background
from indexer.graphs.curator import Pace
from indexer.graphs.operation_repository import OperationRepository
from indexer.graphs.operation_service import OperationsServicer
from indexer.graphs.optimizing import Optimizing
from indexer.indexing import PhotoIndexing
from indexer.pending import PendingPhotos
from indexer.repository import PhotoRepository
from indexer.room import Room
from indexer.service import IndexerServicer
from indexer.write_repository import WriteRepository
from indexer.writer import PhotoWriter

SERVICES = ("facepass.v1.Events", "facepass.v1.Indexer", "google.longrunning.Operations")


def _admission(settings: IndexerServerSettings, vision: Vision, metrics: Metrics) -> Admission:
    most_photos = settings.max_photos or calls_for(vision.workload.workers)
    gates = {
        "/facepass.v1.Indexer/IndexPhotos": Gate("streams", settings.max_streams, metrics),
        "/facepass.v1.Indexer/IndexPhoto": Gate("photos", most_photos, metrics),
        # They wait for up to ten minutes, and must not keep others from creating an event.
        "/google.longrunning.Operations/WaitOperation": Gate("waits", settings.max_admin, metrics),
    }
    return Admission(Gate("admin", settings.max_admin, metrics), gates)


@asynccontextmanager
async def running(
    settings: IndexerSettings, vision: Vision, pace: Pace | None = None
) -> AsyncIterator[RunningServer]:
    """Serve Events, Indexer and Operations for as long as the context lasts, and look after events'
    graphs. Raises SetupError."""
    metrics = Metrics()
    observe_workload(metrics, vision)
    packs = PackRegistry()
    reader = EventReader(packs)
    async with (
        open_database(settings.database) as database,
        in_the_background(settings, reader, metrics, pace or Pace()) as curator,
    ):
        async with database.transaction() as connection:
            pack = await packs.register(connection, vision.pack)
        events = EventRepository(database, reader)
        operations = OperationRepository(database)
        photos = PhotoRepository(database, reader)
        writer = PhotoWriter(WriteRepository(database, reader, pack), metrics)
        pending = PendingPhotos(photos, metrics)
        indexing = PhotoIndexing(vision, photos, writer, pending, metrics)
        receipts = ReceiptRepository(database, STALE_S)
        settling = Settling(receipts)
        people = PersonRepository(database, reader, vision.pack.key)
        erasures = Erasures(Erasing(vision, people, settling, settings.limits), receipts)
        optimizing = Optimizing(operations, curator.wake, settings.promotion.hnsw_min_faces)
        operations_servicer = OperationsServicer(operations, events, receipts)
        servicer = IndexerServicer(
            events,
            photos,
            indexing,
            optimizing,
            operations_servicer,
            erasures,
            settling,
            settings.indexer,
            settings.limits,
            Room(settings.indexer.photo_bytes, metrics.photo_bytes),
        )

        def register(server: grpc.aio.Server) -> None:
            events_servicer = EventsServicer(events, operations, settling)
            events_pb2_grpc.add_EventsServicer_to_server(events_servicer, server)
            indexer_pb2_grpc.add_IndexerServicer_to_server(servicer, server)
            operations_pb2_grpc.add_OperationsServicer_to_server(operations_servicer, server)

        async with (
            pending.reporting(),
            serving(
                settings.indexer,
                metrics,
                SERVICES,
                register,
                _admission(settings.indexer, vision, metrics),
                max_request_bytes=settings.limits.max_photo_bytes,
            ) as server,
        ):
            yield server
        await writer.finish()
