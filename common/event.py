"""An event and what belongs to it."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from common.calibration import Calibration
from common.names import EventName
from common.templates.space import TemplateSpace
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
    """A pack as the database knows it, with the thresholds and the calibration it was registered
    with."""

    pack_id: int
    key: str
    dimension: int
    min_similarity: float
    confident_similarity: float
    calibration: Calibration


@dataclass(frozen=True, slots=True)
class Relation:
    """An event's own table `ev_<number>.face` with its own HNSW: the faces below `mark`.

    faces, size_bytes: when it was built. recall: of faces at or above the threshold, as last
    measured against the exact scan; None while it was not.
    """

    number: int
    mark: int
    faces: int
    size_bytes: int
    ef_search: int
    recall: float | None
    build_time: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """What tells whether an event is still as it was: equal exactly when nothing of it changed but
    the counts of photos that were rejected or are being worked on."""

    uid: UUID
    version: int
    revision: int
    relation: int | None
    mark: int


@dataclass(frozen=True, slots=True)
class Event:
    """One event as stored. `version` grows with each change of its faces, `revision` with each of
    its own fields. Its faces are numbered below `next_face_no`; which were deleted at versions up
    to `tombstone_floor` is forgotten."""

    name: EventName
    uid: UUID
    fields: EventFields
    counts: EventCounts
    pack: StoredPack | None
    space: TemplateSpace = field(compare=False)
    version: int
    revision: int
    next_face_no: int
    tombstone_floor: int
    relation: Relation | None
    create_time: datetime
    update_time: datetime

    @property
    def mark(self) -> int:
        """Faces below it are in the event's own relation, the others in the shared table."""
        return self.relation.mark if self.relation is not None else 0

    @property
    def standing(self) -> Standing:
        number = self.relation.number if self.relation is not None else None
        return Standing(self.uid, self.version, self.revision, number, self.mark)

    @property
    def etag(self) -> str:
        return f"{self.uid.hex[:8]}-{self.revision}"
