"""The OpenTelemetry collector that spans are sent to (OTLP through gRPC). Imported only where one
is named."""

import asyncio
import logging
import socket
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version
from uuid import uuid4

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1 import trace_pb2 as pb

from common.background import going_on
from common.metrics import Metrics
from common.traces.span import Attribute, Root, Span

log = logging.getLogger(__name__)
_MOST_WAITING, _BATCH = 4096, 512
"""Spans; about 0.3 KiB each."""
_PAUSE_S = 1.0
"""Between batches, so that one holds the spans of many calls."""
_TIMEOUT_S, _LAST_S = 10.0, 2.0
"""Longest wait for an answer, and for all answers at the end."""
_SAMPLED, _REMOTE_IS_KNOWN, _REMOTE = 0x1, 0x100, 0x200
_OUTCOMES = ("sent", "refused", "failed", "dropped")


class Collector:
    """Takes the spans of traces that have ended and sends them in the background. What cannot be
    sent is counted and forgotten: nobody waits for it."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        headers: Sequence[tuple[str, str]],
        service: str,
        metrics: Metrics,
    ) -> None:
        """service: the name under which the spans are found."""
        self._export = TraceServiceStub(channel).Export
        self._headers = headers
        self._resource = _resource(service)
        self._scope = InstrumentationScope(name="facepass", version=version("facepass-server"))
        self._outcomes = {each: metrics.spans.labels(each) for each in _OUTCOMES}
        self._waiting: deque[pb.Span] = deque()
        self._some = asyncio.Event()
        self._away = False

    def take(self, spans: Sequence[Span]) -> None:
        """Keep the spans of a trace until they are sent; all of them or none."""
        if len(self._waiting) + len(spans) > _MOST_WAITING:
            self._outcomes["dropped"].inc(len(spans))
            return
        self._waiting.extend(map(_to_wire, spans))
        self._some.set()

    @asynccontextmanager
    async def sending(self) -> AsyncIterator[None]:
        """Send for as long as the context lasts, and then what is left, if that does not take
        long."""
        try:
            async with going_on(self._send_for_ever()):
                yield
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LAST_S):
                    await self._send_all()
            self._outcomes["dropped"].inc(len(self._waiting))

    async def _send_for_ever(self) -> None:
        while True:
            await self._some.wait()
            await asyncio.sleep(_PAUSE_S)
            self._some.clear()
            await self._send_all()

    async def _send_all(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
            try:
                await self._send(batch)
            except asyncio.CancelledError:
                self._waiting.extendleft(reversed(batch))
                raise

    async def _send(self, spans: Sequence[pb.Span]) -> None:
        ours = pb.ScopeSpans(scope=self._scope, spans=spans)
        resource_spans = pb.ResourceSpans(resource=self._resource, scope_spans=[ours])
        request = ExportTraceServiceRequest(resource_spans=[resource_spans])
        try:
            answer = await self._export(request, timeout=_TIMEOUT_S, metadata=self._headers)
        except grpc.aio.AioRpcError as error:
            self._outcomes["failed"].inc(len(spans))
            self._say_away(error)
            return
        refused = min(answer.partial_success.rejected_spans, len(spans))
        self._outcomes["refused"].inc(refused)
        self._outcomes["sent"].inc(len(spans) - refused)
        if self._away:
            log.info("traces can be sent again", extra={"action": "traces_sent"})
        self._away = False

    def _say_away(self, error: grpc.aio.AioRpcError) -> None:
        """Once for each time that it is away."""
        if not self._away:
            why = f"{error.code().name}: {error.details()}"
            log.warning("traces cannot be sent", extra={"action": "traces_not_sent", "why": why})
        self._away = True


def _resource(service: str) -> Resource:
    """What all spans of this process have in common."""
    told = {
        "service.name": service,
        "service.version": version("facepass-server"),
        "service.instance.id": str(uuid4()),
        "host.name": socket.gethostname(),
    }
    return Resource(attributes=_attributes(told))


def _to_wire(span: Span) -> pb.Span:
    sent = pb.Span(
        trace_id=span.trace.id,
        span_id=span.id,
        parent_span_id=span.parent_id,
        flags=_SAMPLED | _REMOTE_IS_KNOWN,
        name=span.name,
        kind=pb.Span.SPAN_KIND_INTERNAL,
        start_time_unix_nano=span.start_ns,
        end_time_unix_nano=span.end_ns,
        attributes=_attributes(span.attributes),
    )
    if isinstance(span, Root):
        _add_root(sent, span)
    return sent


def _add_root(sent: pb.Span, span: Root) -> None:
    if span.called:
        sent.kind = pb.Span.SPAN_KIND_SERVER
    if span.parent_id:
        sent.flags |= _REMOTE
    if span.failed:
        sent.status.code = pb.Status.STATUS_CODE_ERROR
    if span.link is not None:
        sent.links.add(trace_id=span.link.trace.id, span_id=span.link.id, flags=_SAMPLED)


def _attributes(attributes: Mapping[str, Attribute]) -> Iterator[KeyValue]:
    for key, value in attributes.items():
        yield KeyValue(key=key, value=_value(value))


def _value(value: Attribute) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    return AnyValue(string_value=value)
