"""Errors as a person understands them: what happened, and what to do."""

from collections.abc import Callable

from facepass.errors import FacePassError

_IMAGE = "Give a JPEG, PNG or WebP that other programs can open."


def _event(error: FacePassError) -> str:
    event = error.metadata.get("event", "").removeprefix("events/") or "EVENT"
    return f"`facepass event list` shows all events, `facepass event create {event}` makes one."


def _wait(error: FacePassError) -> str:
    if error.retry_after_s is None:
        return "Try again in a while."
    return f"Try again in {max(1, round(error.retry_after_s))} s."


_REMEDIES: dict[str, str | Callable[[FacePassError], str]] = {
    "EVENT_NOT_FOUND": _event,
    "EVENT_ALREADY_EXISTS": "Choose another id, or use the event that is there.",
    "PHOTO_NOT_FOUND": "`facepass photo list --event EVENT` shows an event's photos.",
    "FACE_NOT_FOUND": "`facepass photo get PHOTO` shows a photo's faces.",
    "ETAG_MISMATCH": "Read it again with `facepass event get`, then repeat the change.",
    "PACK_MISMATCH": (
        "Start the server with the pack that the event was indexed with, "
        "or index the photos again into a new event."
    ),
    "IMAGE_UNSUPPORTED": _IMAGE,
    "IMAGE_EMPTY": _IMAGE,
    "IMAGE_TRUNCATED": _IMAGE,
    "IMAGE_CORRUPT": _IMAGE,
    "UNAUTHENTICATED": "Give a token that counts with --token-file; the server's log says more.",
    "TOKEN_EXPIRED": "Put a new one into the file of --token-file.",
    "PERMISSION_DENIED": "Use a token for that event, if there is one.",
    "SCOPE_MISSING": "Use a token with that scope.",
    "OPERATION_NOT_FOUND": "It may have ended; `facepass event get EVENT` shows the index.",
    "DATABASE_UNAVAILABLE": "The server runs, but not its database. Try again in a moment.",
    "DEADLINE_EXCEEDED": "The server is slow or far away. Try again.",
    "INTERNAL": "This is the server's fault; its log says more.",
}


def failure(error: FacePassError, address: str) -> str:
    """Return a line that says what failed, and one that says what to do about it if that helps.

    address: of the server that was called.
    """
    if error.reason == "UNAVAILABLE":
        return (
            f"cannot reach the server at {address}.\n"
            "Is it running? `facepass-server standalone` starts one; --indexer and --searcher "
            "say where others are."
        )
    if error.reason == "UNIMPLEMENTED":
        return (
            f"the server at {address} does not know this call.\n"
            "Are --indexer and --searcher the right way round, and the server up to date?"
        )
    lines = [error.message or error.reason]
    lines += [f"  {field}: {what}" for field, what in error.violations if what not in error.message]
    remedy = _REMEDIES.get(error.reason)
    if error.retry_after_s is not None:
        remedy = _wait
    if remedy is not None:
        lines.append(remedy if isinstance(remedy, str) else remedy(error))
    return "\n".join(lines)
