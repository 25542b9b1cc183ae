"""The query server, put together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import grpc
from facepass.v1 import searcher_pb2_grpc

from common.db.events import EventReader, PackRegistry
from common.db.pool import open_database
from common.metrics import Metrics
from common.pool_metrics import observe_workload
from common.rpc.admission import Admission, Gate, calls_for
from common.rpc.server import RunningServer, serving
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

SERVICES = ("facepass.v1.Searcher",)


def _admission(settings: SearcherServerSettings, vision: Vision, metrics: Metrics) -> Admission:
    most = settings.max_searches or calls_for(vision.workload.workers)
    return Admission(Gate("searches", most, metrics))


@asynccontextmanager
async def running(
    settings: SearcherSettings, vision: Vision, *, shares_vision: bool = False
) -> AsyncIterator[RunningServer]:
    """Serve Searcher for as long as the context lasts. Raises SetupError.

    shares_vision: another server of this process has the same `vision` and tells its workload.
    """
    overwrite_freed_memory()
    async with open_database(settings.database) as database:
        metrics = Metrics()
        if not shares_vision:
            observe_workload(metrics, vision)
        reader = EventReader(PackRegistry())
        galleries = Galleries(TemplateRepository(database, reader), settings.gallery, metrics)
        forgetting = Forgetting(ForgettingRepository(database, uuid4()), galleries)
        probes = ProbeReader(vision, settings.searcher, settings.limits)
        servicer = SearcherServicer(
            Search(database, reader, probes, vision.pack, galleries, tell, metrics),
            Compare(database, reader, probes, vision.pack),
            probes,
            settings.searcher,
        )

        def register(server: grpc.aio.Server) -> None:
            searcher_pb2_grpc.add_SearcherServicer_to_server(servicer, server)

        async with (
            galleries.running(),
            forgetting.running(),
            serving(
                settings.searcher,
                metrics,
                SERVICES,
                register,
                _admission(settings.searcher, vision, metrics),
                max_request_bytes=settings.limits.max_probe_bytes * settings.searcher.max_probes,
            ) as server,
        ):
            yield server
