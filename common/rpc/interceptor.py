"""The one server interceptor: request id, errors as statuses, a log line and metrics for each
call."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import grpc

from common.errors import FacePassError
from common.logs import request_id
from common.metrics import Metrics
from common.rpc.gate import Gate
from common.rpc.status import code_of, grpc_status_of

REQUEST_ID_KEY = "x-request-id"
_QUIET = ("/grpc.health.", "/grpc.reflection.")
log = logging.getLogger(__name__)


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Wraps every handler. Handlers raise FacePassError and know nothing of statuses."""

    def __init__(self, metrics: Metrics, gate: Gate) -> None:
        self._metrics = metrics
        self._gate = gate
        self._handlers: dict[str, Any] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        method = handler_call_details.method
        refusing = self._gate.refusing_handler()
        if refusing is not None and not method.startswith(_QUIET):
            return refusing
        if method not in self._handlers:
            handler = await continuation(handler_call_details)
            if handler is None or method.startswith(_QUIET):
                return handler
            wrap = self._streaming if handler.response_streaming else self._single
            self._handlers[method] = wrap(handler, method)
        return self._handlers[method]

    def _single(self, handler: Any, method: str) -> Any:
        inner = handler.stream_unary if handler.request_streaming else handler.unary_unary

        async def guarded(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            with self._observed(method, context) as call:
                try:
                    return await inner(request, context)
                except Exception as error:
                    await call.fail(error)

        make = (
            grpc.stream_unary_rpc_method_handler
            if handler.request_streaming
            else grpc.unary_unary_rpc_method_handler
        )
        return make(guarded, handler.request_deserializer, handler.response_serializer)

    def _streaming(self, handler: Any, method: str) -> Any:
        inner = handler.stream_stream if handler.request_streaming else handler.unary_stream

        async def guarded(
            request: Any, context: grpc.aio.ServicerContext[Any, Any]
        ) -> AsyncIterator[Any]:
            with self._observed(method, context) as call:
                try:
                    async for response in inner(request, context):
                        yield response
                except Exception as error:
                    await call.fail(error)

        make = (
            grpc.stream_stream_rpc_method_handler
            if handler.request_streaming
            else grpc.unary_stream_rpc_method_handler
        )
        return make(guarded, handler.request_deserializer, handler.response_serializer)

    @contextmanager
    def _observed(self, method: str, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        call = _Call(context)
        token = request_id.set(_request_id(context))
        started = time.perf_counter()
        self._metrics.rpcs_in_flight.labels(method).inc()
        self._gate.enter()
        try:
            yield call
        except asyncio.CancelledError:
            call.code = grpc.StatusCode.CANCELLED
            raise
        finally:
            elapsed_s = time.perf_counter() - started
            self._gate.leave()
            self._metrics.rpcs_in_flight.labels(method).dec()
            self._metrics.rpc_seconds.labels(method).observe(elapsed_s)
            self._metrics.rpcs.labels(method, call.code.name).inc()
            # The answer goes first: its caller waits, the log does not.
            asyncio.get_running_loop().call_soon(call.log, method, elapsed_s)
            request_id.reset(token)


class _Call:
    """One call while it is served."""

    def __init__(self, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        self._context = context
        self.code = grpc.StatusCode.OK
        self.reason = ""

    def log(self, method: str, elapsed_s: float) -> None:
        """Write the call's line."""
        code = self.code.name
        ms = round(elapsed_s * 1000, 2)
        fields = {"method": method, "code": code, "reason": self.reason, "ms": ms}
        log.info("%s %s", method, code, extra={"action": "rpc", **fields})

    async def fail(self, error: Exception) -> None:
        """Answer the call with the error's status; never returns normally."""
        if isinstance(error, grpc.aio.AbortError):
            self.code = grpc.StatusCode.UNKNOWN
            raise error
        self.code = code_of(error)
        if isinstance(error, FacePassError):
            self.reason = error.reason
        else:
            log.error("unexpected error", extra={"action": "unexpected_error"}, exc_info=error)
        await self._context.abort_with_status(grpc_status_of(error))


def _request_id(context: grpc.aio.ServicerContext[Any, Any]) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == REQUEST_ID_KEY and isinstance(value, str) and 0 < len(value) <= 128:
            return value
    return uuid4().hex
