"""Errors on the wire: one table from exception to status code, each error with exactly one
ErrorInfo."""

from collections.abc import Mapping

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status  # type: ignore[import-untyped]

from common import errors

DOMAIN = "facepass"
_PUSHBACK = "grpc-retry-pushback-ms"
"""Trailer that has gRPC's own clients wait before they try again, or not try at all where negative:
they would keep a call that has no deadline waiting for hours."""
_LONGEST_PUSHBACK_S = 10.0

STATUS: Mapping[type[BaseException], grpc.StatusCode] = {
    errors.InvalidArgument: grpc.StatusCode.INVALID_ARGUMENT,
    errors.InvalidImage: grpc.StatusCode.INVALID_ARGUMENT,
    errors.ContentMismatch: grpc.StatusCode.INVALID_ARGUMENT,
    errors.IncompleteUpload: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    errors.EtagMismatch: grpc.StatusCode.ABORTED,
    errors.PackMismatch: grpc.StatusCode.FAILED_PRECONDITION,
    errors.TemplateKeyMissing: grpc.StatusCode.FAILED_PRECONDITION,
    errors.OperationNotDone: grpc.StatusCode.FAILED_PRECONDITION,
    errors.OperationCancelled: grpc.StatusCode.CANCELLED,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    errors.Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.OutOfSpace: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.DeadlinePassed: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.CallerIdle: grpc.StatusCode.UNAVAILABLE,
    errors.AuditUnavailable: grpc.StatusCode.UNAVAILABLE,
    errors.DatabaseUnavailable: grpc.StatusCode.UNAVAILABLE,
    errors.Starting: grpc.StatusCode.UNAVAILABLE,
    errors.ShuttingDown: grpc.StatusCode.UNAVAILABLE,
}
"""Anything else is INTERNAL."""


def code_of(error: BaseException) -> grpc.StatusCode:
    """Status code of an exception, by the nearest of its classes that the table knows."""
    for cls in type(error).__mro__:
        if cls in STATUS:
            return STATUS[cls]
    return grpc.StatusCode.INTERNAL


def status_of(error: BaseException) -> status_pb2.Status:
    """The error as `google.rpc.Status`. What is not a FacePassError shows nothing of itself."""
    if not isinstance(error, errors.FacePassError):
        error = errors.FacePassError("internal error")
    details: list[Message] = [
        error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)
    ]
    if isinstance(error, errors.InvalidArgument):
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=error.field, description=error.description
        )
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    if isinstance(error, errors.Overloaded):
        details.append(_retry_info(error.retry_after_s))
    if isinstance(error, errors.QuotaExceeded):
        exceeded = error_details_pb2.QuotaFailure.Violation(
            subject=error.metadata["limit"], description=error.message
        )
        details.append(error_details_pb2.QuotaFailure(violations=[exceeded]))
    return status_pb2.Status(
        code=code_of(error).value[0], message=error.message, details=[_pack(d) for d in details]
    )


def grpc_status_of(error: BaseException) -> grpc.Status:
    """The error as what `context.abort_with_status` takes."""
    status: grpc.Status = rpc_status.to_status(status_of(error))
    if isinstance(error, errors.Overloaded):
        wait_s = error.retry_after_s
        pushback_ms = round(wait_s * 1000) if wait_s <= _LONGEST_PUSHBACK_S else -1
        trailers = (*status.trailing_metadata, (_PUSHBACK, str(pushback_ms)))
        status = status._replace(trailing_metadata=trailers)  # type: ignore[attr-defined]
    return status


def _retry_info(retry_after_s: float) -> error_details_pb2.RetryInfo:
    delay = duration_pb2.Duration()
    delay.FromNanoseconds(int(retry_after_s * 1e9))
    return error_details_pb2.RetryInfo(retry_delay=delay)


def _pack(message: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed
