"""One call while it is served: what becomes of it, and what is written of it in the end."""

import asyncio
import logging
import time
from typing import Any, TypeAlias

import grpc

from common.audit.line import Decision, Entry
from common.audit.log import AuditLog
from common.audit.note import Note
from common.errors import (
    AuditUnavailable,
    CallerIdle,
    DeadlinePassed,
    FacePassError,
    Overloaded,
    Unauthenticated,
    without_frames,
)
from common.logs import request_id
from common.metrics import Metrics
from common.rpc.status import code_of, grpc_status_of
from common.traces.span import Root

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]
_REFUSALS = (AuditUnavailable, Overloaded, DeadlinePassed, CallerIdle)
"""Counted apart; in the log only where it is verbose: under overload there are many of them."""
_DENIED = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)
_FAILURES = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
"""Those of the server, to a trace; what a caller did wrong is none."""
log = logging.getLogger(__name__)


class Call:
    """One call while it is served."""

    def __init__(
        self, context: Context, limit: str, metrics: Metrics, audit: AuditLog, span: Root | None
    ) -> None:
        self._context = context
        self._limit = limit
        self._metrics = metrics
        self._audit = audit
        self._span = span
        self._promised = False
        self._over = ""
        self.note = Note()
        self.code = grpc.StatusCode.OK
        self.reason = ""
        self.refused = False
        self._why = ""
        self.subject = ""

    def promise(self) -> None:
        """Make sure that the audit will take the call's entry. Raises AuditUnavailable."""
        self._audit.promise()
        self._promised = True

    def end(self, method: str, elapsed_s: float) -> None:
        """Write the call's line, its entry in the audit and its span. Runs in the call's own
        context."""
        self._log(method, elapsed_s)
        self._audit.keep(self._entry(method), promised=self._promised)
        if self._span is not None:
            self._end_span(self._span, method, elapsed_s)

    def _end_span(self, span: Root, method: str, elapsed_s: float) -> None:
        """As OpenTelemetry's conventions for gRPC servers say."""
        service, _, name = method.removeprefix("/").partition("/")
        span.attributes["rpc.system"] = "grpc"
        span.attributes["rpc.service"] = service
        span.attributes["rpc.method"] = name
        span.attributes["rpc.grpc.status_code"] = self.code.value[0]
        if self.code is not grpc.StatusCode.OK:
            span.attributes["error.type"] = self.reason or self.code.name
        span.failed = self.code in _FAILURES
        span.end(span.start_ns + int(elapsed_s * 1e9))

    def _entry(self, method: str) -> Entry:
        denied = self.code in _DENIED
        refused = Decision.REFUSED if self.refused else Decision.ALLOWED
        return Entry(
            time=time.time(),
            subject=self.subject,
            method=method.removeprefix("/"),
            events=self.note.events,
            decision=Decision.DENIED if denied else refused,
            code=self.code.name,
            reason=self.reason,
            limit=self._over,
            counts=self.note.counts,
            request_id=request_id.get(),
            peer=self._context.peer() if self._audit.tells_peer else "",
        )

    def _log(self, method: str, elapsed_s: float) -> None:
        code = self.code.name
        ms = round(elapsed_s * 1000, 2)
        fields = {"method": method, "code": code, "reason": self.reason, "ms": ms}
        if self._why:
            fields["why"] = self._why
        level = logging.DEBUG if self.refused else logging.INFO
        log.log(level, "%s %s", method, code, extra={"action": "rpc", **fields})

    async def fail(self, error: Exception) -> None:
        """Answer the call with the error's status; never returns normally."""
        if isinstance(error, grpc.aio.AbortError):
            self.code = grpc.StatusCode.UNKNOWN
            raise error
        self.code = code_of(error)
        if isinstance(error, FacePassError):
            self.reason = error.reason
            if isinstance(error, Unauthenticated):
                self._why = error.why
            if isinstance(error, _REFUSALS):
                self.refused = True
                self._over = error.metadata.get("limit", "")
                self._metrics.refusals.labels(self._limit, self._over or error.reason).inc()
        else:
            log.error("unexpected error", extra={"action": "unexpected_error"}, exc_info=error)
        try:
            # gRPC keeps what ended the call, and by its frames the request, in a circle.
            await self._context.abort_with_status(grpc_status_of(without_frames(error)))
        except grpc.aio.InternalError:
            # The caller has gone before it read what it was told.
            raise asyncio.CancelledError from None
