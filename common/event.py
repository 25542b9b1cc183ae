"""An event and what belongs to it."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from common.names import EventName
from common.vision.types import Detail, QualityFilter


@dataclass(frozen=True, slots=True)
class EventSettings:
    """Defaults for the event's photos and searches; None for the pack's own threshold."""

    quality_filter: QualityFilter = QualityFilter.AUTO
    detail: Detail = Detail.STANDARD
    min_similarity: float | None = None


@dataclass(frozen=True, slots=True)
class EventFields:
    """What a caller says of an event."""

    display_name: str = ""
    location: str = ""
    start_time: datetime | None = None
    expire_time: datetime | None = None
    settings: EventSettings = field(default_factory=EventSettings)


@dataclass(frozen=True, slots=True)
class EventCounts:
    """What an event holds."""

    photos_indexed: int = 0
    photos_rejected: int = 0
    photos_pending: int = 0
    faces: int = 0


@dataclass(frozen=True, slots=True)
class StoredPack:
    """A pack as the database knows it, with the thresholds it was registered with."""

    pack_id: int
    key: str
    dimension: int
    min_similarity: float
    confident_similarity: float


@dataclass(frozen=True, slots=True)
class Event:
    """One event as stored. `version` grows with each change of its faces, `revision` with each of
    its own fields."""

    name: EventName
    uid: UUID
    fields: EventFields
    counts: EventCounts
    pack: StoredPack | None
    version: int
    revision: int
    create_time: datetime
    update_time: datetime

    @property
    def etag(self) -> str:
        return f"{self.uid.hex[:8]}-{self.revision}"
