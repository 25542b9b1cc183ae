"""The query server, put together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
from facepass.v1 import searcher_pb2_grpc

from common.db.events import EventReader, PackRegistry
from common.db.pool import open_database
from common.metrics import Metrics
from common.rpc.server import RunningServer, serving
from common.vision.types import Vision
from searcher.compare import Compare
from searcher.config import SearcherSettings
from searcher.probes import ProbeReader
from searcher.search import Search
from searcher.service import SearcherServicer

SERVICES = ("facepass.v1.Searcher",)


@asynccontextmanager
async def running(settings: SearcherSettings, vision: Vision) -> AsyncIterator[RunningServer]:
    """Serve Searcher for as long as the context lasts. Raises SetupError."""
    async with open_database(settings.database) as database:
        metrics = Metrics()
        reader = EventReader(PackRegistry())
        probes = ProbeReader(vision, settings.searcher, settings.limits)
        servicer = SearcherServicer(
            Search(database, reader, probes, vision.pack, metrics),
            Compare(database, reader, probes, vision.pack),
            probes,
            settings.searcher,
        )

        def register(server: grpc.aio.Server) -> None:
            searcher_pb2_grpc.add_SearcherServicer_to_server(servicer, server)

        async with serving(
            settings.searcher,
            metrics,
            SERVICES,
            register,
            max_request_bytes=settings.limits.max_probe_bytes * settings.searcher.max_probes,
        ) as server:
            yield server
