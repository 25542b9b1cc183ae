"""Leaving a person out of photos that come after it was erased."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from common.similarity import at_least, similarities
from common.vision.types import EmbeddingVector, Face, FaceReason


class Suppressions:
    """Those of one event: templates (D,), each with the similarity from which on a face is left
    out."""

    def __init__(self, templates: Sequence[tuple[EmbeddingVector, float]]) -> None:
        self._templates = templates

    def without_template(self, face: Face) -> Face:
        """The face, without its template and with the reason where it is one of them."""
        embedding = face.embedding
        if embedding is None or not any(
            at_least(similarities(template, np.stack([embedding])), lowest)[0]
            for template, lowest in self._templates
        ):
            return face
        return replace(face, reasons=(*face.reasons, FaceReason.SUPPRESSED), embedding=None)
