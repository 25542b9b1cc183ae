"""The query server, put together."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from uuid import UUID, uuid4

from facepass.v1 import searcher_pb2_grpc

from common.audit.log import auditing
from common.config import DatabaseSettings
from common.database_metrics import observe_database
from common.db.events import EventReader, PackRegistry
from common.db.opening import open_database, open_replica, patiently
from common.db.pool import Database
from common.db.replica import Reads, Replica, Signs
from common.db.template_keys import report_missing_keys
from common.db.watch import DatabaseWatch
from common.metrics import Metrics
from common.pool_metrics import observe_workload
from common.quotas.people import PeopleBudget
from common.quotas.quotas import open_quotas
from common.rpc.admission import Admission, Gate, calls_for
from common.rpc.entrance import entrance_of
from common.rpc.server import Listening, RunningServer, Services
from common.rpc.server import listening as listen
from common.rpc.tracing import tracing
from common.templates.keys import TemplateKeys
from common.traces.vision import TracedVision
from common.vision.types import Vision
from searcher.compare import Compare
from searcher.config import SearcherServerSettings, SearcherSettings
from searcher.forgetting import Forgetting
from searcher.forgetting_repository import ForgettingRepository
from searcher.freed_memory import overwrite_freed_memory
from searcher.galleries import Galleries
from searcher.probes import ProbeReader
from searcher.search import Search
from searcher.service import SearcherServicer, tell
from searcher.template_repository import TemplateRepository

SEARCHER = "facepass.v1.Searcher"
SERVICES: Services = {SEARCHER: searcher_pb2_grpc.add_SearcherServicer_to_server}


@asynccontextmanager
async def listening(settings: SearcherSettings) -> AsyncIterator[Listening]:
    """Listen for as long as the context lasts, serving nothing yet. Raises SetupError."""
    metrics = Metrics()
    most = settings.limits.max_probe_bytes * settings.searcher.max_probes
    async with (
        tracing(settings.traces, "facepass-searcher", metrics) as tracer,
        entrance_of(settings.searcher.listen, settings, metrics) as entrance,
        listen(
            settings.searcher, metrics, entrance, SERVICES, tracer, max_request_bytes=most
        ) as server,
    ):
        yield server


@asynccontextmanager
async def _reads(
    settings: DatabaseSettings, primary: Database, searcher_id: UUID, signs: Signs, metrics: Metrics
) -> AsyncIterator[Reads]:
    """Where larger reads go: to the replicas, where there are any."""
    if not settings.replica_dsn.get_secret_value():
        yield primary
        return
    async with open_replica(settings) as replica:
        wait_s = settings.replica_wait_ms / 1000
        yield Replica(replica, primary, searcher_id, signs, wait_s, metrics)


def _admission(settings: SearcherServerSettings, vision: Vision, metrics: Metrics) -> Admission:
    most = settings.max_searches or calls_for(vision.workload.workers)
    return Admission(Gate("searches", most, metrics))


@asynccontextmanager
async def running(
    settings: SearcherSettings, vision: Vision, *, shares_vision: bool = False
) -> AsyncIterator[RunningServer]:
    """Listen, and serve what `serving` does, for as long as the context lasts. Raises
    SetupError."""
    async with (
        listening(settings) as server,
        serving(settings, vision, server, shares_vision=shares_vision),
    ):
        yield server.running


@asynccontextmanager
async def serving(
    settings: SearcherSettings, vision: Vision, server: Listening, *, shares_vision: bool = False
) -> AsyncIterator[None]:
    """Serve Searcher for as long as the context lasts. Waits for a database that is away. Raises
    SetupError.

    shares_vision: another server of this process has the same `vision` and tells its workload.
    """
    overwrite_freed_memory()
    async with (
        open_database(settings.database, patient=True) as database,
        AsyncExitStack() as stack,
    ):
        metrics = server.metrics
        observe_database(metrics, database)
        if not shares_vision:
            observe_workload(metrics, vision)
        if server.tracer:
            vision = TracedVision(vision)
        keys = TemplateKeys.of(settings.templates)
        await patiently(partial(report_missing_keys, database, keys.ids))
        reader, searcher_id, signs = EventReader(PackRegistry(), keys), uuid4(), Signs()
        reads = await stack.enter_async_context(
            _reads(settings.database, database, searcher_id, signs, metrics)
        )
        templates = TemplateRepository(database, reads, reader)
        galleries = Galleries(templates, settings.gallery, metrics)
        database.replaced = partial(galleries.evict, "failover")
        forgetting = Forgetting(ForgettingRepository(database, searcher_id, signs), galleries)
        quotas = open_quotas(settings.quota, database, metrics)
        people = PeopleBudget(settings.quota.people_per_day, metrics)
        probes = ProbeReader(vision, settings.searcher, settings.limits, quotas)
        servicer = SearcherServicer(
            Search(database, reads, reader, probes, vision.pack, galleries, tell, people, metrics),
            Compare(database, reader, probes, vision.pack),
            probes,
            quotas,
            settings.searcher,
        )
        watch = DatabaseWatch(settings.database, database, server.set_ready, metrics)
        admission = _admission(settings.searcher, vision, metrics)
        async with (
            galleries.running(),
            forgetting.running(),
            auditing(settings.audit, database, metrics) as audit,
            server.serving({SEARCHER: servicer}, admission, audit),
            watch.watching(),
        ):
            yield
