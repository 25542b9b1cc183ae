"""Probes: from an image, a face's name or an embedding to the vector to search with."""

from dataclasses import dataclass, replace
from enum import Enum
from typing import Protocol

import numpy as np

from common.config import ImageLimits
from common.errors import ImageTooLarge, InvalidArgument, PackMismatch
from common.event import StoredPack
from common.names import FaceName
from common.quotas.quotas import Quotas
from common.vision.types import (
    Analysis,
    AnalyzeOptions,
    EmbeddingVector,
    Face,
    FaceReason,
    QualityFilter,
    Vision,
)
from searcher.config import SearcherServerSettings

NORM_TOLERANCE = 0.01


@dataclass(frozen=True, slots=True)
class ImageProbe:
    """An image; `face_index` picks a face by its place from the largest, None means the largest."""

    content: bytes
    face_index: int | None = None


@dataclass(frozen=True, slots=True)
class FaceProbe:
    """An indexed face."""

    name: FaceName


@dataclass(frozen=True, slots=True)
class EmbeddingProbe:
    """An embedding made elsewhere. values: (D,) float32, not yet checked."""

    values: EmbeddingVector
    pack: str


Probe = ImageProbe | FaceProbe | EmbeddingProbe


class SelfieAdvice(Enum):
    """What a person can do for a better selfie. Values are the wire's, less the prefix."""

    NO_FACE = "NO_FACE"
    SEVERAL_FACES = "SEVERAL_FACES"
    COME_CLOSER = "COME_CLOSER"
    CUT_OFF = "CUT_OFF"
    TOO_DARK = "TOO_DARK"
    TOO_BRIGHT = "TOO_BRIGHT"
    BLURRED = "BLURRED"
    LOOK_AT_CAMERA = "LOOK_AT_CAMERA"
    UNCOVER_FACE = "UNCOVER_FACE"


_ADVICE = {
    FaceReason.SMALL_BOX: SelfieAdvice.COME_CLOSER,
    FaceReason.LOW_BRIGHTNESS: SelfieAdvice.TOO_DARK,
    FaceReason.HIGH_BRIGHTNESS: SelfieAdvice.TOO_BRIGHT,
    FaceReason.LOW_SHARPNESS: SelfieAdvice.BLURRED,
    FaceReason.EXTREME_POSE: SelfieAdvice.LOOK_AT_CAMERA,
    FaceReason.LOW_CONFIDENCE: SelfieAdvice.UNCOVER_FACE,
}


@dataclass(frozen=True, slots=True)
class ProbeReading:
    """What became of one probe: the vector to search with, None when it cannot be used.

    faces: all faces of an image, largest first, each with the reasons why it is not searched with.
    """

    embedding: EmbeddingVector | None
    faces: tuple[Face, ...] = ()
    face_index: int | None = None
    advice: tuple[SelfieAdvice, ...] = ()
    queue_ms: float = 0.0


class Templates(Protocol):
    """Where the templates of indexed faces are."""

    async def template(self, name: FaceName) -> EmbeddingVector:
        """Raises FaceNotFound."""
        ...


class ProbeReader:
    """Turns probes into vectors. Images are never stored."""

    def __init__(
        self,
        vision: Vision,
        settings: SearcherServerSettings,
        limits: ImageLimits,
        quotas: Quotas,
    ) -> None:
        self._vision = vision
        self._limits = limits
        self._quotas = quotas
        self._options = AnalyzeOptions(
            quality_filter=QualityFilter.LOW, max_faces=settings.max_faces
        )

    async def image(self, probe: ImageProbe, field: str, owner: str = "") -> ProbeReading:
        """Find the face to search with. owner: as Vision.analyze.

        Raises InvalidImage, InvalidArgument, Overloaded, ProcessingFailed."""
        size = len(probe.content)
        if size > self._limits.max_probe_bytes:
            raise ImageTooLarge(
                f"{field}: {size} bytes, more than the limit of {self._limits.max_probe_bytes}"
            )
        analysis = await self._vision.analyze(
            probe.content, self._options, owner=owner, urgent=True
        )
        await self._quotas.decoded(analysis.width * analysis.height)
        return read_faces(analysis, probe.face_index, field)

    def check_pack(self, pack: StoredPack | None) -> None:
        """Raises PackMismatch when images cannot be compared with templates of `pack`."""
        _check_same_pack(pack, self._vision.pack.key, "this server runs")


def read_faces(analysis: Analysis, face_index: int | None, field: str) -> ProbeReading:
    """Choose the face of a probe: the one asked for, else the largest that is good enough."""
    faces = analysis.faces
    if face_index is not None and not 0 <= face_index < max(len(faces), 1):
        raise InvalidArgument(
            f"{field}.face_index", f"must be below the number of faces, {len(faces)}"
        )
    if not faces:
        return ProbeReading(
            None, advice=(SelfieAdvice.NO_FACE,), queue_ms=analysis.timings.queue_ms
        )
    usable = [i for i, face in enumerate(faces) if face.embedding is not None]
    chosen = face_index if face_index is not None else (usable or [0])[0]
    told = tuple(
        face
        if i == chosen or face.reasons
        else replace(face, reasons=(FaceReason.NOT_CHOSEN,), embedding=None)
        for i, face in enumerate(faces)
    )
    advice = _advise(analysis, chosen, asked_for=face_index is not None)
    embedding = faces[chosen].embedding
    index = chosen if embedding is not None else None
    return ProbeReading(embedding, told, index, advice, analysis.timings.queue_ms)


def _advise(analysis: Analysis, chosen: int, *, asked_for: bool) -> tuple[SelfieAdvice, ...]:
    face = analysis.faces[chosen]
    advice = [_ADVICE[reason] for reason in face.reasons if reason in _ADVICE]
    box = face.detection.box
    slack_x, slack_y = 0.05 * box.width, 0.05 * box.height
    if (
        box.x < -slack_x
        or box.y < -slack_y
        or box.x + box.width > analysis.width + slack_x
        or box.y + box.height > analysis.height + slack_y
    ):
        advice.append(SelfieAdvice.CUT_OFF)
    others = sum(f.embedding is not None for i, f in enumerate(analysis.faces) if i != chosen)
    if others and not asked_for:
        advice.append(SelfieAdvice.SEVERAL_FACES)
    return tuple(advice)


def read_embedding(probe: EmbeddingProbe, pack: StoredPack | None, field: str) -> ProbeReading:
    """Check a caller's embedding against the pack it is compared with. Raises InvalidArgument,
    PackMismatch."""
    if not probe.pack:
        raise InvalidArgument(f"{field}.pack", "must name the pack that made the embedding")
    _check_same_pack(pack, probe.pack, "the embedding was made by")
    norm = float(np.linalg.norm(probe.values.astype(np.float64)))  # which no square overflows
    if not abs(norm - 1) <= NORM_TOLERANCE:
        raise InvalidArgument(f"{field}.values", "must be L2-normalised: a vector of length 1")
    if pack is not None and probe.values.shape[0] != pack.dimension:
        raise InvalidArgument(f"{field}.values", f"must have {pack.dimension} numbers")
    return ProbeReading((probe.values / norm).astype(np.float32))


def _check_same_pack(pack: StoredPack | None, key: str, whose: str) -> None:
    if pack is not None and pack.key != key:
        raise PackMismatch(
            f"the event's templates were made by {pack.key}, {whose} {key}",
            metadata={"event_pack": pack.key, "pack": key},
        )
