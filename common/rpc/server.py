"""Building, starting and stopping a gRPC server with health and reflection."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from common.audit.log import AuditLog
from common.config import MIB, ServerSettings
from common.errors import SetupError
from common.metrics import Metrics
from common.metrics_endpoint import metrics_endpoint
from common.rpc.admission import Admission
from common.rpc.door import Door
from common.rpc.entrance import Entrance
from common.rpc.interceptor import CallInterceptor
from common.traces.tracer import Tracer

log = logging.getLogger(__name__)
_MAX_METADATA_BYTES = 16 * 1024
_HANDSHAKE_MS = 10_000
_FOREVER_MS = 2**31 - 1
_NO_COMPRESSION = 1
"""The bit of gRPC's `identity`: all other algorithms are answered UNIMPLEMENTED."""
_LAST_WORDS_S = 0.5
"""For answers that are on their way when the last call has ended."""


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that serves. `port` is the gRPC port, `metrics_port` that of Prometheus if there is
    one."""

    port: int
    metrics_port: int | None


Services: TypeAlias = Mapping[str, Callable[[Any, grpc.aio.Server], None]]
"""The generated function that adds a servicer to a server, by the service's full name."""


class _Later:
    """Stands for a servicer that is made once the server listens, which a server must know before.

    The door lets no call by earlier.
    """

    def __init__(self) -> None:
        self.servicer: object = None

    def __getattr__(self, method: str) -> Callable[[Any, Any], Any]:
        return lambda request, context: getattr(self.servicer, method)(request, context)


class Listening:
    """A gRPC server from its first moment, when nothing but health answers, to its end."""

    def __init__(
        self,
        server: grpc.aio.Server,
        status: health.aio.HealthServicer,
        interceptor: CallInterceptor,
        door: Door,
        servicers: Mapping[str, "_Later"],
        entrance: Entrance,
        metrics_port: int | None,
        metrics: Metrics,
        tracer: Tracer | None,
        settings: ServerSettings,
    ) -> None:
        self._server = server
        self._entrance = entrance
        self._metrics_port = metrics_port
        self._listen = settings.listen
        self._port: int | None = None
        self._status = status
        self._servicers = servicers
        self._grace_s = settings.shutdown_grace_s
        self._notice_s = settings.shutdown_notice_s
        self._open = False
        self._interceptor = interceptor
        self.door = door
        self.metrics = metrics
        self.tracer = tracer

    @property
    def running(self) -> RunningServer:
        """Where it listens; known once it does."""
        assert self._port is not None
        return RunningServer(self._port, self._metrics_port)

    async def begin(self) -> None:
        """Listen, unless it does already. Raises SetupError."""
        if self._port is not None:
            return
        try:
            self._port = self._entrance.open(self._server)
        except RuntimeError as error:
            raise SetupError(
                f"cannot listen on {self._listen}: taken, or not an address of this machine"
            ) from error
        await self._status.set("", _told(True))
        await self._server.start()

    @asynccontextmanager
    async def serving(
        self, servicers: Mapping[str, object], admission: Admission, audit: AuditLog
    ) -> AsyncIterator[None]:
        """Serve for as long as the context lasts; on leaving, `stop`.

        servicers: one for each service, by its full name.
        """
        for name, later in self._servicers.items():
            later.servicer = servicers[name]
        self._interceptor.admission = admission
        self._interceptor.audit = audit
        self.door.open()
        self._open = True
        await self.set_ready(True)
        await self.begin()
        about = {"port": self.running.port, "services": list(self._servicers)}
        log.info("serving", extra={"action": "serving", **about})
        try:
            yield
        finally:
            await self.stop()

    async def set_ready(self, ready: bool) -> None:
        """Say whether calls would succeed. That the process lives, the service "" says."""
        self.metrics.ready.set(int(ready))
        for name in self._servicers:
            await self._status.set(name, _told(ready))

    async def stop(self) -> None:
        """Tell health, refuse what comes, let what is in flight finish as long as the grace lasts,
        and end. Whoever asks a second time does not wait."""
        grace_s, self._grace_s = self._grace_s, 0.0
        notice_s = self._notice_s if self._open and grace_s else 0.0
        self._open = False
        self.metrics.ready.set(0)
        await self._status.enter_graceful_shutdown()
        finished = False
        try:
            finished = await self._drained(grace_s, notice_s)
        finally:
            await self._server.stop(_LAST_WORDS_S if finished and grace_s else None)

    async def _drained(self, grace_s: float, notice_s: float) -> bool:
        await asyncio.sleep(notice_s)
        self.door.close()
        # Not left to `stop`, which cuts off calls that end by an error (grpc/grpc#37239).
        finished = await self.door.emptied(grace_s)
        # Whoever was answered just now, and calls again, hears why that is in vain.
        await asyncio.sleep(notice_s)
        return finished


@asynccontextmanager
async def listening(
    settings: ServerSettings,
    metrics: Metrics,
    entrance: Entrance,
    services: Services,
    tracer: Tracer | None,
    *,
    max_request_bytes: int,
) -> AsyncIterator[Listening]:
    """Listen for as long as the context lasts; calls are refused but inside `Listening.serving`.

    One of several processes of an address listens there only: until it serves, the others do.
    Raises SetupError when an address cannot be used.
    """
    door = Door()
    interceptor = CallInterceptor(metrics, entrance.access, door, settings.idle_timeout_s, tracer)
    server = grpc.aio.server(
        interceptors=[interceptor], options=_options(settings, max_request_bytes)
    )
    servicers = {name: _Later() for name in services}
    for name, add in services.items():
        add(servicers[name], server)
    status = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(status, server)
    names = [*services, health.SERVICE_NAME, reflection.SERVICE_NAME]
    reflection.enable_server_reflection(names, server)
    with _metrics(metrics, settings.metrics_listen) as metrics_port:
        listens = Listening(
            server,
            status,
            interceptor,
            door,
            servicers,
            entrance,
            metrics_port,
            metrics,
            tracer,
            settings,
        )
        await listens.set_ready(False)
        if settings.processes == 1:
            await listens.begin()
        try:
            yield listens
        finally:
            await listens.stop()
            log.info("stopped", extra={"action": "stopped", "services": list(services)})


def _told(serving: bool) -> int:
    states = health_pb2.HealthCheckResponse
    return int(states.SERVING if serving else states.NOT_SERVING)


@contextmanager
def _metrics(metrics: Metrics, listen: str) -> Iterator[int | None]:
    with ExitStack() as stack:
        try:
            port = stack.enter_context(metrics_endpoint(metrics, listen))
        except (OSError, ValueError) as error:
            raise SetupError(f"cannot serve metrics on {listen}: {error}") from error
        yield port


def _options(settings: ServerSettings, max_request_bytes: int) -> list[tuple[str, int]]:
    return [
        ("grpc.max_allowed_incoming_connections", settings.max_connections),
        ("grpc.max_connection_age_ms", int(1000 * settings.connection_age_s) or _FOREVER_MS),
        ("grpc.max_concurrent_streams", settings.calls_per_connection),
        ("grpc.server_handshake_timeout_ms", _HANDSHAKE_MS),
        # A small message may inflate to as much as the largest; photos are compressed already.
        ("grpc.per_message_decompression", 0),
        ("grpc.compression_enabled_algorithms_bitset", _NO_COMPRESSION),
        ("grpc.max_receive_message_length", max_request_bytes + MIB),
        ("grpc.max_send_message_length", 64 * MIB),
        ("grpc.absolute_max_metadata_size", _MAX_METADATA_BYTES),
        ("grpc.so_reuseport", int(settings.processes > 1)),
        # Clients may ping every 30 s, also between calls; dead peers are noticed within a minute.
        ("grpc.http2.min_ping_interval_without_data_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.keepalive_time_ms", 40_000),
        ("grpc.keepalive_timeout_ms", 20_000),
    ]
