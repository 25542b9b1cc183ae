"""An OpenTelemetry collector: takes spans through gRPC, as any other does, and keeps them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from authority import Issued
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as pb_grpc
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass
class Received:
    """What a collector was sent. address: `host:port`."""

    address: str
    requests: list[pb.ExportTraceServiceRequest] = field(default_factory=list)
    metadata: list[dict[str, Any]] = field(default_factory=list)

    @property
    def spans(self) -> list[Span]:
        return [
            span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def of(self, trace_id: str) -> list[Span]:
        """The spans of one trace."""
        return [span for span in self.spans if span.trace_id.hex() == trace_id]

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]


class _Service(pb_grpc.TraceServiceServicer):
    def __init__(self, received: Received) -> None:
        self._received = received

    async def Export(
        self, request: pb.ExportTraceServiceRequest, context: Any
    ) -> pb.ExportTraceServiceResponse:
        self._received.requests.append(request)
        self._received.metadata.append(dict(context.invocation_metadata()))
        return pb.ExportTraceServiceResponse()


@asynccontextmanager
async def collector(identity: Issued | None = None, port: int = 0) -> AsyncIterator[Received]:
    """One that runs for as long as the context lasts, encrypted by `identity` if there is one."""
    server = grpc.aio.server()
    received = Received("")
    pb_grpc.add_TraceServiceServicer_to_server(_Service(received), server)
    where = f"127.0.0.1:{port}"
    if identity is None:
        port = server.add_insecure_port(where)
    else:
        pair = (identity.key, identity.certificate)
        port = server.add_secure_port(where, grpc.ssl_server_credentials([pair]))
    received.address = f"127.0.0.1:{port}"
    await server.start()
    try:
        yield received
    finally:
        await server.stop(None)


def attributes(told: Span) -> dict[str, Any]:
    """What a span says of itself."""
    return {each.key: _value(each.value) for each in told.attributes}


def _value(value: AnyValue) -> Any:
    return getattr(value, value.WhichOneof("value") or "string_value")


def stages(spans: list[Span]) -> set[tuple[str, str]]:
    """The names of spans, each with that of the one it is a part of, empty where that is not here.

    Without waits for connections, which come and go.
    """
    names = {span.span_id: span.name for span in spans}
    told = {(span.name, names.get(span.parent_span_id, "")) for span in spans}
    return {(name, whole) for name, whole in told if name != "connection"}
