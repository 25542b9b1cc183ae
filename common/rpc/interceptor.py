"""The one server interceptor: who calls, admission, request id, errors as statuses, a log line,
metrics, an entry in the audit and a span for each call."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Any, TypeVar
from uuid import uuid4

import grpc
from google.protobuf.message import DecodeError

from common.audit.log import AuditLog
from common.audit.note import note
from common.auth.tokens import Grant
from common.errors import (
    CallerIdle,
    DeadlinePassed,
    InvalidArgument,
    Unauthenticated,
)
from common.logs import request_id
from common.metrics import Metrics
from common.rpc.access import Access
from common.rpc.admission import Admission, Gate
from common.rpc.call import Call, Context
from common.rpc.door import Door
from common.rpc.events_of import events_of
from common.rpc.status import grpc_status_of
from common.traces.span import current as current_span
from common.traces.span import stage
from common.traces.tracer import Tracer

A = TypeVar("A")
REQUEST_ID_KEY = "x-request-id"
_QUIET = ("/grpc.health.", "/grpc.reflection.")
_WATCH = "/grpc.health.v1.Health/Watch"
log = logging.getLogger(__name__)


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Wraps every handler. Handlers raise FacePassError and know nothing of statuses.

    What is refused is refused before any of its request is read, and what is still on its way
    takes no place from others.
    """

    def __init__(
        self,
        metrics: Metrics,
        access: Access,
        door: Door,
        idle_timeout_s: float,
        tracer: Tracer | None,
    ) -> None:
        """idle_timeout_s: longest wait for a request, and for a caller to read an answer."""
        self._metrics = metrics
        self._tracer = tracer
        self._access = access
        self._door = door
        self._idle_timeout_s = idle_timeout_s
        self.admission: Admission | None = None
        self.audit: AuditLog | None = None
        """Both must be there before the door is opened."""
        self._handlers: dict[str, Any] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        method = handler_call_details.method
        refusing = self._door.refusing_handler()
        if refusing is not None and not method.startswith(_QUIET):
            return refusing
        if method not in self._handlers:
            handler = await continuation(handler_call_details)
            if handler is None:
                return None
            if method.startswith(_QUIET):
                return await self._quiet(handler, handler_call_details)
            assert self.admission is not None
            wrap = self._stream if handler.request_streaming else self._single
            self._handlers[method] = wrap(handler, method, self.admission.gate(method))
        return self._handlers[method]

    async def _quiet(self, handler: Any, call: grpc.HandlerCallDetails) -> Any:
        """Health and reflection: no place is needed, at most a token of any scope."""
        try:
            await self._access.check_token(call.method, call.invocation_metadata)
        except Unauthenticated as error:
            # The watch that gRPC clients keep on a connection brings no token; where there is none
            # (UNIMPLEMENTED), they do without.
            return None if call.method == _WATCH else _refusing(error)
        return handler

    def _single(self, handler: Any, method: str, gate: Gate) -> Any:
        """A unary call; to gRPC, a stream of requests of which one is read once we want it."""

        async def guarded(_: AsyncIterator[bytes], context: Context) -> Any:
            with self._observed(method, gate, context) as call:
                try:
                    return await serve(context, call)
                except Exception as error:
                    await call.fail(error)

        async def serve(context: Context, call: Call) -> Any:
            grant = await self._grant(context)
            call.subject = grant.caller.subject
            with self._access.entered(method, grant) as entry:
                gate.check()
                call.promise()
                # Not by the iterator of requests, which would hold on to it.
                received = await self._within_time(_read(context))
                with gate.admitted():
                    request = _parsed(received, handler.request_deserializer)
                    call.note.events = events_of(request)
                    entry.check(request)
                    _check_deadline(context)
                    return await handler.unary_unary(request, context)

        return grpc.stream_unary_rpc_method_handler(guarded, None, handler.response_serializer)

    def _stream(self, handler: Any, method: str, gate: Gate) -> Any:
        """A stream both ways, admitted when its first request has come."""

        async def guarded(_: AsyncIterator[Any], context: Context) -> None:
            with self._observed(method, gate, context) as call:
                try:
                    await serve(context, call)
                except Exception as error:
                    await call.fail(error)

        async def serve(context: Context, call: Call) -> None:
            grant = await self._grant(context)
            call.subject = grant.caller.subject
            with self._access.entered(method, grant) as entry:
                gate.check()
                call.promise()
                requests = _requests(context)
                first = await self._within_time(anext(requests, None))
                if first is not None:
                    call.note.events = events_of(first)
                    entry.check(first)
                with gate.admitted():
                    rest = entry.until_expired(requests)
                    answers = handler.stream_stream(_chain(first, rest), context)
                    async with aclosing(answers):
                        async for answer in answers:
                            await self._write(context, answer)
                entry.check_cut()

        return grpc.stream_stream_rpc_method_handler(
            guarded, handler.request_deserializer, handler.response_serializer
        )

    async def _grant(self, context: Context) -> Grant:
        """Raises Unauthenticated."""
        return await self._access.grant(context.invocation_metadata(), context.auth_context)

    async def _within_time(self, request: Awaitable[A]) -> A:
        """The next request. Raises CallerIdle."""
        try:
            with stage("request"):
                async with asyncio.timeout(self._idle_timeout_s):
                    return await request
        except TimeoutError:
            raise CallerIdle(f"no request came within {self._idle_timeout_s:g} s") from None

    async def _write(self, context: Context, answer: Any) -> None:
        """Raises CallerIdle where the caller does not read."""
        try:
            async with asyncio.timeout(self._idle_timeout_s):
                await context.write(answer)
        except TimeoutError:
            raise CallerIdle(f"no answer was read for {self._idle_timeout_s:g} s") from None

    @contextmanager
    def _observed(self, method: str, gate: Gate, context: Context) -> Iterator[Call]:
        assert self.audit is not None
        span = None
        if self._tracer is not None:
            span = self._tracer.call(method, context.invocation_metadata() or ())
        call = Call(context, gate.name, self._metrics, self.audit, span)
        noting, spanning = note.set(call.note), current_span.set(span)
        token = request_id.set(_request_id(context))
        started = time.perf_counter()
        self._metrics.rpcs_in_flight.labels(method).inc()
        self._door.enter()
        try:
            yield call
        except asyncio.CancelledError:
            call.code = grpc.StatusCode.CANCELLED
            raise
        finally:
            elapsed_s = time.perf_counter() - started
            self._door.leave()
            self._metrics.rpcs_in_flight.labels(method).dec()
            if not call.refused:
                exemplar = {"trace_id": span.trace_id} if span else None
                self._metrics.rpc_seconds.labels(method).observe(elapsed_s, exemplar)
            self._metrics.rpcs.labels(method, call.code.name).inc()
            # The answer goes first: its caller waits, the log and the audit do not.
            asyncio.get_running_loop().call_soon(call.end, method, elapsed_s)
            request_id.reset(token)
            note.reset(noting)
            current_span.reset(spanning)


def _refusing(error: Unauthenticated) -> Any:
    async def refuse(_: object, context: Context) -> None:
        log.info("refused", extra={"action": "unauthenticated", "why": error.why})
        await context.abort_with_status(grpc_status_of(error))

    return grpc.stream_stream_rpc_method_handler(refuse, None, None)


def _parsed(received: Any, parse: Callable[[bytes], Any]) -> Any:
    """The request. Raises InvalidArgument."""
    if received is grpc.aio.EOF:
        raise InvalidArgument("request", "is missing")
    try:
        return parse(received)
    except DecodeError:
        raise InvalidArgument("request", "is not a message of this method") from None


async def _read(context: Context) -> Any:
    """A call's next request, or EOF.

    To gRPC, the requests of a caller who has left end as if they were all. That it has left is told
    right after, and so before the end is read a second time: then this is cancelled.
    """
    request = await context.read()
    return request if request is not grpc.aio.EOF else await context.read()


async def _requests(context: Context) -> AsyncIterator[Any]:
    while (request := await _read(context)) is not grpc.aio.EOF:
        yield request


async def _chain(first: A | None, others: AsyncIterator[A]) -> AsyncIterator[A]:
    if first is not None:
        yield first
        async for other in others:
            yield other


def _check_deadline(context: Context) -> None:
    remaining_s = context.time_remaining()
    if remaining_s is not None and remaining_s <= 0:
        raise DeadlinePassed("the deadline had passed before the work began")


def _request_id(context: Context) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == REQUEST_ID_KEY and isinstance(value, str) and 0 < len(value) <= 128:
            return value
    return uuid4().hex
