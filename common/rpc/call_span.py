"""The span of a call, named and ended as OpenTelemetry's conventions for gRPC servers say."""

import grpc

from common.traces.span import Root

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
"""The server's; what its caller did wrong is no failure of a server."""


def end_span(span: Root, method: str, code: grpc.StatusCode, reason: str, elapsed_s: float) -> None:
    """End the span of a call that took so long. method: `/service/name`."""
    service, _, name = method.removeprefix("/").partition("/")
    span.attributes["rpc.system"] = "grpc"
    span.attributes["rpc.service"] = service
    span.attributes["rpc.method"] = name
    span.attributes["rpc.grpc.status_code"] = code.value[0]
    if reason:
        span.attributes["error.type"] = reason
    span.failed = code in _FAILURES
    span.end(span.start_ns + int(elapsed_s * 1e9))
