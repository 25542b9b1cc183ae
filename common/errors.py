"""Errors whose text may be shown to a caller.

Each class has a stable reason; `common.rpc.status` turns it into a gRPC status. Messages never
carry internals, other events' data or secrets: what a class is given is what the caller sees.
"""

from collections.abc import Mapping
from typing import ClassVar, TypeVar

E = TypeVar("E", bound=BaseException)


class FacePassError(Exception):
    """Root of all errors that FacePass answers with."""

    reason: ClassVar[str] = "INTERNAL"

    def __init__(self, message: str, *, metadata: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.metadata = dict(metadata or {})


class InvalidArgument(FacePassError):
    """A field of the request is malformed."""

    reason = "INVALID_ARGUMENT"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}", metadata={"field": field})
        self.field = field
        self.description = message


class InvalidImage(FacePassError):
    """The bytes are no image that FacePass reads."""

    reason = "INVALID_IMAGE"


class ImageUnsupported(InvalidImage):
    """Not a JPEG, PNG or WebP."""

    reason = "IMAGE_UNSUPPORTED"


class ImageEmpty(InvalidImage):
    """No bytes at all."""

    reason = "IMAGE_EMPTY"


class ImageTruncated(InvalidImage):
    """The image ends too early."""

    reason = "IMAGE_TRUNCATED"


class ImageCorrupt(InvalidImage):
    """The image is damaged."""

    reason = "IMAGE_CORRUPT"


class ImageTooLarge(InvalidImage):
    """Over the limit of bytes, pixels, sides, scans or frames."""

    reason = "IMAGE_TOO_LARGE"


class ImageTooSmall(InvalidImage):
    """Too few pixels to hold a face."""

    reason = "IMAGE_TOO_SMALL"


class ContentMismatch(FacePassError):
    """The bytes are not those that the header announced."""

    reason = "CONTENT_MISMATCH"


class IncompleteUpload(FacePassError):
    """The photo's last chunk never came."""

    reason = "INCOMPLETE_UPLOAD"


class NotFound(FacePassError):
    """Nothing has this name."""

    reason = "NOT_FOUND"


class EventNotFound(NotFound):
    reason = "EVENT_NOT_FOUND"


class PhotoNotFound(NotFound):
    reason = "PHOTO_NOT_FOUND"


class FaceNotFound(NotFound):
    reason = "FACE_NOT_FOUND"


class OperationNotFound(NotFound):
    reason = "OPERATION_NOT_FOUND"


class ErasureNotFound(NotFound):
    reason = "ERASURE_NOT_FOUND"


class AlreadyExists(FacePassError):
    """The name is taken."""

    reason = "ALREADY_EXISTS"


class EventAlreadyExists(AlreadyExists):
    reason = "EVENT_ALREADY_EXISTS"


class PhotoIdConflict(AlreadyExists):
    """The photo id is taken by other bytes."""

    reason = "PHOTO_ID_CONFLICT"


class IdempotencyMismatch(AlreadyExists):
    """The request id was used with other content."""

    reason = "IDEMPOTENCY_MISMATCH"


class EtagMismatch(FacePassError):
    """Somebody else changed it meanwhile."""

    reason = "ETAG_MISMATCH"


class PackMismatch(FacePassError):
    """Templates of different packs are never compared."""

    reason = "PACK_MISMATCH"


class TemplateKeyMissing(FacePassError):
    """The event's templates were written with a key that this server does not have."""

    reason = "TEMPLATE_KEY_MISSING"


class OperationNotDone(FacePassError):
    """An operation that is under way cannot be deleted."""

    reason = "OPERATION_NOT_DONE"


class OperationCancelled(FacePassError):
    """A caller asked to end the operation."""

    reason = "OPERATION_CANCELLED"


class Unauthenticated(FacePassError):
    """The call has no token that counts. Callers are not told why; the log is (`why`)."""

    reason = "UNAUTHENTICATED"
    text: ClassVar[str] = "the call needs a valid token"

    def __init__(self, why: str) -> None:
        super().__init__(self.text)
        self.why = why


class TokenExpired(Unauthenticated):
    """The token was good, and is no more."""

    reason = "TOKEN_EXPIRED"
    text = "the token has expired; get a new one and call again"


class PermissionDenied(FacePassError):
    """The event is none of the caller's, whether it exists or not."""

    reason = "PERMISSION_DENIED"


class ScopeMissing(PermissionDenied):
    """The caller may not do this with any event."""

    reason = "SCOPE_MISSING"


class Overloaded(FacePassError):
    """Over the limit of that name; try again after `retry_after_s`."""

    reason = "OVERLOADED"

    def __init__(self, message: str, *, limit: str, retry_after_s: float) -> None:
        super().__init__(message, metadata={"limit": limit})
        self.retry_after_s = retry_after_s


class QuotaExceeded(Overloaded):
    """The subject or the event has used up its share of what `limit` counts, for now."""

    reason = "QUOTA_EXCEEDED"


class DeadlinePassed(FacePassError):
    """The caller's deadline had passed before any work began."""

    reason = "DEADLINE_PASSED"


class CallerIdle(FacePassError):
    """It was the caller's turn, and nothing came for too long."""

    reason = "CALLER_IDLE"


class OutOfSpace(FacePassError):
    """The database's disk or memory has no room for this."""

    reason = "OUT_OF_SPACE"


class AuditUnavailable(FacePassError):
    """The record of who did what has no room for another call."""

    reason = "AUDIT_UNAVAILABLE"


class DatabaseUnavailable(FacePassError):
    """The database cannot be reached right now."""

    reason = "DATABASE_UNAVAILABLE"


class Starting(FacePassError):
    """The server cannot serve yet: it waits for its database, or makes its workers ready."""

    reason = "STARTING"


class ShuttingDown(FacePassError):
    """The server was told to stop. What it had not answered is to be sent to another one."""

    reason = "SHUTTING_DOWN"


class ProcessingFailed(FacePassError):
    """FacePass failed on one image: a worker crashed or took too long. Nothing was stored."""

    reason = "PROCESSING_FAILED"


class PackUnavailable(FacePassError):
    """The model pack cannot be loaded. Said at start, never to a caller."""

    reason = "PACK_UNAVAILABLE"


class SetupError(FacePassError):
    """Something about the installation must be put right before a server can start. Says what."""

    reason = "SETUP"


def without_frames(error: E) -> E:
    """The same error, holding none of the frames that it and its causes went through.

    For errors that are kept: a frame holds all that was in its hands, such as an image, and often
    the very error, so that both stay until Python next looks for such circles.
    """
    each: BaseException | None = error
    while each is not None and each.__traceback__ is not None:
        each.__traceback__ = None
        each = each.__cause__ or each.__context__
    return error
