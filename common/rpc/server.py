"""Building, starting and stopping a gRPC server with health and reflection."""

import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from common.audit.log import AuditLog
from common.config import MIB, ServerSettings
from common.errors import SetupError
from common.metrics import Metrics, metrics_endpoint
from common.rpc.admission import Admission
from common.rpc.interceptor import CallInterceptor

log = logging.getLogger(__name__)
_MAX_METADATA_BYTES = 16 * 1024
_HANDSHAKE_MS = 10_000
_NO_COMPRESSION = 1
"""The bit of gRPC's `identity`: all other algorithms are answered UNIMPLEMENTED."""


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that serves. `port` is the gRPC port, `metrics_port` that of Prometheus if there is
    one."""

    port: int
    metrics_port: int | None


@asynccontextmanager
async def serving(
    settings: ServerSettings,
    metrics: Metrics,
    services: Sequence[str],
    register: Callable[[grpc.aio.Server], None],
    admission: Admission,
    audit: AuditLog,
    *,
    max_request_bytes: int,
) -> AsyncIterator[RunningServer]:
    """Serve for as long as the context lasts; on leaving, tell health first, then let calls finish.

    services: full names of the services that `register` adds. Raises SetupError when an address
    cannot be used.
    """
    interceptor = CallInterceptor(metrics, admission, audit, settings.idle_timeout_s)
    server = grpc.aio.server(
        interceptors=[interceptor], options=_options(settings, max_request_bytes)
    )
    register(server)
    status = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(status, server)
    names = [*services, health.SERVICE_NAME, reflection.SERVICE_NAME]
    reflection.enable_server_reflection(names, server)
    try:
        port = server.add_insecure_port(settings.listen)
    except RuntimeError as error:
        raise SetupError(
            f"cannot listen on {settings.listen}: taken, or not an address of this machine"
        ) from error
    with _metrics(metrics, settings.metrics_listen) as metrics_port:
        await server.start()
        for name in ("", *services):
            await status.set(name, health_pb2.HealthCheckResponse.SERVING)
        log.info("serving", extra={"action": "serving", "port": port, "services": list(services)})
        try:
            yield RunningServer(port, metrics_port)
        finally:
            await status.enter_graceful_shutdown()
            await server.stop(settings.shutdown_grace_s)
            log.info("stopped", extra={"action": "stopped", "services": list(services)})


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
        ("grpc.max_concurrent_streams", settings.calls_per_connection),
        ("grpc.server_handshake_timeout_ms", _HANDSHAKE_MS),
        # A small message may inflate to as much as the largest; photos are compressed already.
        ("grpc.per_message_decompression", 0),
        ("grpc.compression_enabled_algorithms_bitset", _NO_COMPRESSION),
        ("grpc.max_receive_message_length", max_request_bytes + MIB),
        ("grpc.max_send_message_length", 64 * MIB),
        ("grpc.absolute_max_metadata_size", _MAX_METADATA_BYTES),
        ("grpc.so_reuseport", 0),
        # Clients may ping every 30 s, also between calls; dead peers are noticed within a minute.
        ("grpc.http2.min_ping_interval_without_data_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.keepalive_time_ms", 40_000),
        ("grpc.keepalive_timeout_ms", 20_000),
    ]
