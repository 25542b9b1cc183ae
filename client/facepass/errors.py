"""What a call can fail with: one root, a class per kind of remedy, the server's reason inside."""

from collections.abc import Iterable, Mapping

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

_DETAILS_KEY = "grpc-status-details-bin"
_CODES = {code.value[0]: code for code in grpc.StatusCode}
_LOST = "Internal error from Core"


class FacePassError(Exception):
    """A FacePass call failed.

    code: gRPC status code. reason: stable upper-case word of the server (`EVENT_NOT_FOUND`), or the
    code's name where the answer did not come from FacePass. message: for people. metadata: what the
    error is about. violations: (field, what is wrong with it). retry_after_s: seconds to wait
    before trying again, where the server said so.
    """

    def __init__(
        self,
        code: grpc.StatusCode,
        message: str,
        *,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        violations: Iterable[tuple[str, str]] = (),
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = reason or code.name
        self.metadata = dict(metadata or {})
        self.violations = tuple(violations)
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"


class InvalidArgument(FacePassError):
    """A field of the request is malformed; `violations` names it."""


class Unauthenticated(FacePassError):
    """The token is missing, does not count, or has expired (reason TOKEN_EXPIRED)."""


class PermissionDenied(FacePassError):
    """The token does not allow this: a scope is missing, or the event is not one of its."""


class NotFound(FacePassError):
    """Nothing has this name."""


class AlreadyExists(FacePassError):
    """The name is taken."""


class FailedPrecondition(FacePassError):
    """The call does not fit the event, such as another model pack."""


class Aborted(FacePassError):
    """Somebody else changed it meanwhile."""


class ResourceExhausted(FacePassError):
    """Over a limit; `retry_after_s` says when to try again."""


class Unavailable(FacePassError):
    """The server, or its database, cannot be reached right now."""


class DeadlineExceeded(FacePassError):
    """No answer within the time allowed."""


_CLASSES: dict[grpc.StatusCode, type[FacePassError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgument,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExists,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPrecondition,
    grpc.StatusCode.ABORTED: Aborted,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhausted,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
}


def from_rpc_error(error: grpc.aio.AioRpcError) -> FacePassError:
    """Turn a failed call into what it means."""
    if status_was_lost(error):
        return Unavailable(
            grpc.StatusCode.UNAVAILABLE, "the server ended the stream while more was being sent"
        )
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            return _from_details(error.code(), error.details() or "", _details_of(value))
    return _from_details(error.code(), error.details() or "", ())


def status_was_lost(error: grpc.aio.AioRpcError) -> bool:
    """Whether gRPC put an error of its own in the place of the server's answer: it does so now and
    then where a stream is refused while something is written to it (grpc/grpc#36066). The next
    try hears what the server says."""
    return error.code() is grpc.StatusCode.INTERNAL and error.details() == _LOST


def from_status(status: status_pb2.Status) -> FacePassError:
    """Turn the status of one photo (`PhotoResult.status`) into an error. It is not raised."""
    code = _CODES.get(status.code, grpc.StatusCode.UNKNOWN)
    return _from_details(code, status.message, status.details)


def _details_of(serialized: bytes) -> Iterable[any_pb2.Any]:
    status = status_pb2.Status()
    status.ParseFromString(serialized)
    return list(status.details)


def _from_details(
    code: grpc.StatusCode, message: str, details: Iterable[any_pb2.Any]
) -> FacePassError:
    info = error_details_pb2.ErrorInfo()
    request = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    retry_after_s: float | None = None
    for detail in details:
        if detail.Unpack(retry):
            retry_after_s = retry.retry_delay.ToTimedelta().total_seconds()
        elif not detail.Unpack(info):
            detail.Unpack(request)
    return _CLASSES.get(code, FacePassError)(
        code,
        message,
        reason=info.reason,
        metadata=dict(info.metadata),
        violations=[(each.field, each.description) for each in request.field_violations],
        retry_after_s=retry_after_s,
    )
