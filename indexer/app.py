"""The indexing server, put together."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from facepass.v1 import events_pb2_grpc, indexer_pb2_grpc
from google.longrunning import operations_pb2_grpc

from common.audit.log import auditing
from common.database_metrics import observe_database
from common.db.events import EventReader, PackRegistry
from common.db.opening import open_database, patiently
from common.db.searchers import STALE_S
from common.db.template_keys import report_missing_keys
from common.db.watch import DatabaseWatch
from common.event import StoredPack
from common.metrics import Metrics
from common.pool_metrics import observe_workload
from common.quotas.quotas import open_quotas
from common.rpc.admission import Admission, Gate, calls_for
from common.rpc.entrance import entrance_of
from common.rpc.server import Listening, RunningServer, Services
from common.rpc.server import listening as listen
from common.rpc.tracing import tracing
from common.templates.keys import TemplateKeys
from common.traces.vision import TracedVision
from common.vision.types import Vision
from indexer.archive_repository import ArchiveRepository
from indexer.archive_watch import ArchiveWatch
from indexer.config import IndexerServerSettings, IndexerSettings
from indexer.erasure.erasing import Erasing
from indexer.erasure.journal import ErasureJournal
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
from indexer.space import Space
from indexer.space_repository import SpaceRepository
from indexer.write_repository import WriteRepository
from indexer.writer import PhotoWriter

log = logging.getLogger(__name__)
EVENTS, INDEXER = "facepass.v1.Events", "facepass.v1.Indexer"
OPERATIONS = "google.longrunning.Operations"
SERVICES: Services = {
    EVENTS: events_pb2_grpc.add_EventsServicer_to_server,
    INDEXER: indexer_pb2_grpc.add_IndexerServicer_to_server,
    OPERATIONS: operations_pb2_grpc.add_OperationsServicer_to_server,
}


@asynccontextmanager
async def listening(settings: IndexerSettings) -> AsyncIterator[Listening]:
    """Listen for as long as the context lasts, serving nothing yet. Raises SetupError."""
    metrics, most = Metrics(), settings.limits.max_photo_bytes
    async with (
        tracing(settings.traces, "facepass-indexer", metrics) as tracer,
        entrance_of(settings.indexer.listen, settings, metrics) as entrance,
        listen(
            settings.indexer, metrics, entrance, SERVICES, tracer, max_request_bytes=most
        ) as server,
    ):
        yield server


def _admission(settings: IndexerServerSettings, vision: Vision, metrics: Metrics) -> Admission:
    most_photos = settings.max_photos or calls_for(vision.workload.workers)
    gates = {
        "/facepass.v1.Indexer/IndexPhotos": Gate("streams", settings.max_streams, metrics),
        "/facepass.v1.Indexer/IndexPhoto": Gate("photos", most_photos, metrics),
        # They wait for up to ten minutes, and must not keep others from creating an event.
        "/google.longrunning.Operations/WaitOperation": Gate("waits", settings.max_admin, metrics),
    }
    return Admission(Gate("admin", settings.max_admin, metrics), gates)


def _journal(settings: IndexerSettings) -> ErasureJournal | None:
    if not settings.erasure.journal:
        return None
    journal = ErasureJournal(Path(settings.erasure.journal))
    journal.require_writable()
    return journal


@asynccontextmanager
async def running(
    settings: IndexerSettings, vision: Vision, pace: Pace | None = None
) -> AsyncIterator[RunningServer]:
    """Listen, and serve what `serving` does, for as long as the context lasts. Raises
    SetupError."""
    async with listening(settings) as server, serving(settings, vision, server, pace):
        yield server.running


@asynccontextmanager
async def serving(
    settings: IndexerSettings, vision: Vision, server: Listening, pace: Pace | None = None
) -> AsyncIterator[None]:
    """Serve Events, Indexer and Operations for as long as the context lasts, and look after events'
    graphs. Waits for a database that is away. Raises SetupError."""
    metrics = server.metrics
    observe_workload(metrics, vision)
    if server.tracer:
        vision = TracedVision(vision)
    packs, keys = PackRegistry(), TemplateKeys.of(settings.templates)
    reader = EventReader(packs, keys)
    journal = _journal(settings)
    async with (
        open_database(settings.database, patient=True) as database,
        in_the_background(settings, reader, journal, metrics, pace or Pace()) as curator,
    ):
        observe_database(metrics, database)

        async def own_pack() -> StoredPack:
            async with database.transaction() as connection:
                return await packs.register(connection, vision.pack)

        pack = await patiently(own_pack)
        await patiently(partial(report_missing_keys, database, keys.ids))
        if keys.first is None:
            log.info("templates of new events are not rotated", extra={"action": "not_rotated"})
        events = EventRepository(database, reader, keys.first)
        operations = OperationRepository(database)
        photos = PhotoRepository(database, reader)
        settle_s = 2 * settings.database.acquire_timeout_s
        writer = PhotoWriter(WriteRepository(database, reader, pack, settle_s), metrics)
        pending = PendingPhotos(photos, metrics)
        space = Space(settings.storage, SpaceRepository(database), metrics)
        quotas = open_quotas(settings.quota, database, metrics)
        indexing = PhotoIndexing(vision, photos, writer, pending, space, quotas, metrics)
        receipts = ReceiptRepository(database, STALE_S)
        settling = Settling(receipts, journal)
        people = PersonRepository(database, reader, vision.pack.key)
        erasures = Erasures(Erasing(vision, people, settling, settings.limits), receipts)
        optimizing = Optimizing(operations, curator.wake, settings.promotion.hnsw_min_faces)
        operations_servicer = OperationsServicer(operations, events, receipts, server.door)
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
            server.door,
            server.tracer,
            Room(settings.indexer.photo_bytes, metrics.photo_bytes),
            quotas,
        )
        servicers = {
            EVENTS: EventsServicer(events, operations, settling),
            INDEXER: servicer,
            OPERATIONS: operations_servicer,
        }
        archive = ArchiveWatch(ArchiveRepository(database), metrics)
        watch = DatabaseWatch(settings.database, database, server.set_ready, metrics)
        async with (
            pending.reporting(),
            space.watching(),
            archive.watching(),
            auditing(settings.audit, database, metrics) as audit,
            server.serving(servicers, _admission(settings.indexer, vision, metrics), audit),
            watch.watching(),
        ):
            yield
        await writer.finish()
