"""A candidate of a search."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.similarity import at_least, similarities, told
from common.vision.types import EmbeddingVector

Position = tuple[float, int, int]
"""Where a candidate stands in the order: similarity (negated), photo number, face number."""
Comparable = tuple[int, int, EmbeddingVector | NDArray[np.float16]]
"""Face number, photo number and template (D,) of a face."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A template that is at least as similar as asked for."""

    face_no: int
    photo_no: int
    similarity: float

    @property
    def position(self) -> Position:
        return (-told(self.similarity), self.photo_no, self.face_no)


def similar_enough(
    probe: EmbeddingVector, min_similarity: float, faces: Sequence[Comparable]
) -> list[Candidate]:
    """Those of the faces that are at or above the threshold, in their order. probe: (D,)."""
    if not faces:
        return []
    templates = np.asarray([template for _, _, template in faces], dtype=np.float32)
    values = similarities(probe, templates)
    return [
        Candidate(face_no, photo_no, value)
        for (face_no, photo_no, _), value, wanted in zip(
            faces, values.tolist(), at_least(values, min_similarity).tolist(), strict=True
        )
        if wanted
    ]
