"""A candidate of a search."""

from dataclasses import dataclass

from common.similarity import told

Position = tuple[float, int, int]
"""Where a candidate stands in the order: similarity (negated), photo number, face number."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A template that is at least as similar as asked for."""

    face_no: int
    photo_no: int
    similarity: float

    @property
    def position(self) -> Position:
        return (-told(self.similarity), self.photo_no, self.face_no)
