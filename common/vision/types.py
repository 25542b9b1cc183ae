"""Values of the vision engines, and the Protocol of what servers ask for faces."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from common.calibration import Calibration
from common.vision.workers.workload import Workload

BgrImage = NDArray[np.uint8]
"""(H, W, 3) BGR, upright (EXIF orientation applied)."""

EmbeddingVector = NDArray[np.float32]
"""(D,) L2-normalised; D belongs to the pack."""


class FaceReason(Enum):
    """Why a face was not indexed or not searched. Values are the wire's, less the prefix."""

    LOW_SHARPNESS = "LOW_SHARPNESS"
    EXTREME_POSE = "EXTREME_POSE"
    SMALL_BOX = "SMALL_BOX"
    LOW_CONFIDENCE = "LOW_CONFIDENCE"
    LOW_BRIGHTNESS = "LOW_BRIGHTNESS"
    HIGH_BRIGHTNESS = "HIGH_BRIGHTNESS"
    EXCEEDS_MAX_FACES = "EXCEEDS_MAX_FACES"
    NOT_CHOSEN = "NOT_CHOSEN"
    SUPPRESSED = "SUPPRESSED"


class QualityFilter(Enum):
    """Which faces are worth a template. Values are the wire's, less the prefix."""

    NONE = "NONE"
    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"
    AUTO = "AUTO"


class Detail(Enum):
    """How closely to look for faces."""

    STANDARD = "STANDARD"
    HIGH = "HIGH"


@dataclass(frozen=True, slots=True)
class Box:
    """An upright rectangle in pixels of the upright image; may reach outside it."""

    x: float
    y: float
    width: float
    height: float

    @property
    def area(self) -> float:
        return self.width * self.height


@dataclass(frozen=True, slots=True)
class Quality:
    """What was measured of a face. Ranges as in the wire's `FaceQuality`."""

    score: float
    sharpness: float
    brightness: float
    yaw: float
    pitch: float
    roll: float


@dataclass(frozen=True, slots=True)
class Detection:
    """One face found by a detector.

    landmarks: (5, 2) float32 pixels: eyes, nose, mouth corners, image-left first; NaN where the
    engine does not locate one.
    """

    box: Box
    landmarks: NDArray[np.float32]
    score: float


@dataclass(frozen=True, slots=True)
class Face:
    """One detected face; `embedding` is None exactly when `reasons` says why it got none."""

    detection: Detection
    quality: Quality
    reasons: tuple[FaceReason, ...] = ()
    embedding: EmbeddingVector | None = None


@dataclass(frozen=True, slots=True)
class AnalyzeOptions:
    """What to do with one image."""

    detail: Detail = Detail.STANDARD
    quality_filter: QualityFilter = QualityFilter.AUTO
    max_faces: int = 100
    """Most faces to embed, largest first; the others get EXCEEDS_MAX_FACES."""


@dataclass(frozen=True, slots=True)
class Timings:
    """Milliseconds of each stage of one image."""

    queue_ms: float = 0.0
    decode_ms: float = 0.0
    detect_ms: float = 0.0
    embed_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Analysis:
    """What an engine made of one image: its upright size and all its faces, largest first."""

    width: int
    height: int
    faces: tuple[Face, ...]
    timings: Timings = field(default_factory=Timings)


@dataclass(frozen=True, slots=True)
class Pack:
    """What belongs to a set of models: identity, dimension, licence and calibration.

    key: stable identity of (recogniser weights, alignment, normalisation): `name@8 hex digits`. Two
    templates are comparable exactly when their keys are equal.
    """

    key: str
    engine: str
    dimension: int
    licence: str
    commercial_use: bool
    min_similarity: float
    """Default threshold: from here on a match is POSSIBLE."""
    confident_similarity: float
    """From here on a match is CONFIDENT."""
    calibration: Calibration
    """What strangers reach, for thresholds given as expected false matches."""


class Vision(Protocol):
    """What servers ask for faces: bytes in, analysis out, engine and decoding somewhere behind."""

    @property
    def pack(self) -> Pack: ...

    @property
    def provider(self) -> str:
        """As Engine.provider."""
        ...

    @property
    def workload(self) -> Workload:
        """What waits and what is worked on; may be asked from any thread."""
        ...

    async def analyze(
        self, content: bytes, options: AnalyzeOptions, *, owner: str = "", urgent: bool = False
    ) -> Analysis:
        """Decode and analyse one image; `urgent` ones (selfies) overtake the others. Of several
        owners that wait, each gets its turn: an event's name, or nothing where there is none.

        Raises InvalidImage, ProcessingFailed, Overloaded.
        """
        ...


def largest_first(detections: Sequence[Detection]) -> list[Detection]:
    """Order detections by box area, largest first; ties by position, so that the order is
    stable."""
    return sorted(detections, key=lambda d: (-d.box.area, d.box.y, d.box.x))
