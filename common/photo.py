"""A photo and its faces as stored."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from common.vision.types import Detection, EmbeddingVector, Face, Quality


class PhotoState(Enum):
    """State of a stored photo. Values are the wire's, less the prefix."""

    INDEXED = "INDEXED"
    REJECTED = "REJECTED"


@dataclass(frozen=True, slots=True)
class PhotoInfo:
    """What the caller says of a photo."""

    photo_id: str
    file_name: str = ""
    source_uri: str = ""
    capture_time: datetime | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FoundPhoto:
    """What a search tells of a photo. width, height: of the upright photo, in pixels."""

    info: PhotoInfo
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class StoredFace:
    """One indexed face. `face_no` is its number within the event."""

    face_no: int
    photo_no: int
    detection: Detection
    quality: Quality


@dataclass(frozen=True, slots=True)
class FoundFace:
    """What a search reads of a face. template: (D,), in the event's own space."""

    face: StoredFace
    photo: FoundPhoto
    template: EmbeddingVector


@dataclass(frozen=True, slots=True)
class Photo:
    """One stored photo. `photo_no` is its number within the event, in commit order."""

    photo_no: int
    info: PhotoInfo
    state: PhotoState
    sha256: bytes
    size_bytes: int
    width: int
    height: int
    faces: tuple[StoredFace, ...]
    unindexed: tuple[Face, ...]
    rejection_reason: str
    rejection_message: str
    index_time: datetime
