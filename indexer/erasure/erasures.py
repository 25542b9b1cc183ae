"""What was removed for good, as whoever asks for the receipt sees it."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from uuid import UUID

from common.candidate import Candidate
from common.event import Event
from common.names import EventName, FaceName


class Kind(Enum):
    """What asked for an erasure. Values are the wire's, less the prefix."""

    PHOTO = "PHOTO"
    FACE = "FACE"
    EVENT = "EVENT"
    PERSON = "PERSON"
    EXPIRY = "EXPIRY"


@dataclass(frozen=True, slots=True)
class Erasure:
    """A receipt. No biometrics: counts, and a digest of the names of what went."""

    erasure_id: UUID
    kind: Kind
    event: EventName
    uid: UUID
    subject: str
    photos: int
    faces: int
    digest: bytes
    suppress_until: datetime | None
    create_time: datetime
    live_time: datetime | None
    physical_time: datetime | None
    backup_time: datetime | None


@dataclass(frozen=True, slots=True)
class Removed:
    """What a deletion took; `erasure_id` of its receipt is None where nothing was to be taken."""

    photos: int
    faces: int
    erasure_id: UUID | None


@dataclass(frozen=True, slots=True)
class Person:
    """Faces of one person in an event, most similar first, and how similar a face must be."""

    event: Event
    faces: tuple[tuple[FaceName, Candidate], ...]
    min_similarity: float


def digest_of(lines: Iterable[object]) -> bytes:
    """SHA-256 of lines, each ended by a newline."""
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).digest()
