"""Resource names: `events/{event}`, `events/{event}/photos/{photo}`,
`events/{event}/photos/{photo}/faces/{face}`."""

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache

from common.errors import InvalidArgument

EVENT_ID = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
PHOTO_ID = re.compile(r"[A-Za-z0-9._~%-]{1,256}")
FACE_ID = re.compile(r"[1-9][0-9]{0,9}")
MAX_FACE_NO = 2**31 - 1

EVENT_ID_RULE = "1 to 63 characters of a-z, 0-9 and '-', starting and ending with a letter or digit"
PHOTO_ID_RULE = "1 to 256 characters of A-Z, a-z, 0-9 and -._~%"


@lru_cache(maxsize=4096)
def _key(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1


@dataclass(frozen=True, slots=True)
class EventName:
    """Name of an event."""

    event: str

    def __str__(self) -> str:
        return f"events/{self.event}"

    @property
    def key(self) -> int:
        """The event's key in every table: 63 bits of the SHA-256 of its name, so that a name routes
        without a look-up."""
        return _key(str(self))

    def photo(self, photo_id: str) -> "PhotoName":
        return PhotoName(self, photo_id)


@dataclass(frozen=True, slots=True)
class PhotoName:
    """Name of a photo."""

    event: EventName
    photo: str

    def __str__(self) -> str:
        return f"{self.event}/photos/{self.photo}"

    def face(self, face_no: int) -> "FaceName":
        return FaceName(self, face_no)


@dataclass(frozen=True, slots=True)
class FaceName:
    """Name of a face. `face_no` is its number within the event."""

    photo: PhotoName
    face_no: int

    def __str__(self) -> str:
        return f"{self.photo}/faces/{self.face_no}"


def event_id(value: str, field: str) -> EventName:
    """Check a caller-chosen event id. Raises InvalidArgument."""
    if not EVENT_ID.fullmatch(value):
        raise InvalidArgument(field, f"must be {EVENT_ID_RULE}")
    return EventName(value)


def photo_id(value: str, field: str) -> str:
    """Check a caller-chosen photo id. Raises InvalidArgument."""
    if not PHOTO_ID.fullmatch(value):
        raise InvalidArgument(field, f"must be {PHOTO_ID_RULE}")
    return value


def parse_event(name: str, field: str) -> EventName:
    """Parse `events/{event}`. Raises InvalidArgument."""
    match name.split("/"):
        case ["events", event] if EVENT_ID.fullmatch(event):
            return EventName(event)
    raise InvalidArgument(field, f"must be events/{{event}}, the event being {EVENT_ID_RULE}")


def parse_photo(name: str, field: str) -> PhotoName:
    """Parse `events/{event}/photos/{photo}`. Raises InvalidArgument."""
    match name.split("/"):
        case ["events", event, "photos", photo] if EVENT_ID.fullmatch(event) and PHOTO_ID.fullmatch(
            photo
        ):
            return PhotoName(EventName(event), photo)
    raise InvalidArgument(field, "must be events/{event}/photos/{photo}")


def parse_face(name: str, field: str) -> FaceName:
    """Parse `events/{event}/photos/{photo}/faces/{face}`. Raises InvalidArgument."""
    head, _, face = name.rpartition("/faces/")
    if head and FACE_ID.fullmatch(face) and int(face) <= MAX_FACE_NO:
        return FaceName(parse_photo(head, field), int(face))
    raise InvalidArgument(field, "must be events/{event}/photos/{photo}/faces/{face}")
