"""One line of the record."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum

_LONGEST = 256


class Decision(Enum):
    """Whether a call was let through."""

    ALLOWED = "allowed"
    """Whatever came of it: `code` and `reason` tell."""
    DENIED = "denied"
    """The caller is nobody we know, or may not do this."""
    REFUSED = "refused"
    """Over a limit, or not at this time."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is told of one call. Never a vector, an image, a token, the name of a file or a photo.

    time: seconds since 1970. method: `package.Service/Method`. events: ids. limit: the one that
    the call was over.
    """

    time: float
    subject: str
    method: str
    events: Sequence[str]
    decision: Decision
    code: str
    reason: str
    limit: str
    counts: Mapping[str, int]
    request_id: str
    peer: str


@dataclass(frozen=True, slots=True)
class Line:
    """An entry in its place: lines of one writer are numbered without a gap, so that a missing one
    shows. writer: UUID of the process' log, in hex."""

    writer: str
    number: int
    entry: Entry

    def json(self) -> str:
        """The line as one JSON object, without the line's end."""
        entry = self.entry
        time = datetime.fromtimestamp(entry.time, UTC)
        return json.dumps(
            {
                "time": time.isoformat(timespec="microseconds"),
                "subject": _clean(entry.subject),
                "method": entry.method,
                "events": entry.events,
                "decision": entry.decision.value,
                "code": entry.code,
                "reason": entry.reason,
                "limit": entry.limit,
                "counts": entry.counts,
                "request_id": _clean(entry.request_id),
                "peer": entry.peer,
                "writer": self.writer,
                "number": self.number,
            }
        )


def _clean(value: str) -> str:
    """What a caller chose, in a form that every sink takes: one that it does not would stay in its
    way for ever."""
    return value[:_LONGEST].encode("utf-8", "replace").decode().replace("\0", "")
