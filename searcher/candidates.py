"""Candidates: merging those of several probes, one per photo, in a stable order, in pages."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

DECIMALS = 4
"""Similarities are told and ordered to this many decimals: more than the templates' half precision
carries, and the same on every server and in every run."""

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
        return (-round(self.similarity, DECIMALS), self.photo_no, self.face_no)


def nearest(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Each face once, with its similarity to the nearest of the probes."""
    best: dict[int, Candidate] = {}
    for candidate in candidates:
        known = best.get(candidate.face_no)
        if known is None or candidate.similarity > known.similarity:
            best[candidate.face_no] = candidate
    return list(best.values())


def best_per_photo(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Each photo once, with its best face."""
    best: dict[int, Candidate] = {}
    for candidate in candidates:
        known = best.get(candidate.photo_no)
        if known is None or candidate.position < known.position:
            best[candidate.photo_no] = candidate
    return list(best.values())


def page_of(
    candidates: Iterable[Candidate], after: Position | None, size: int
) -> tuple[Sequence[Candidate], bool]:
    """The page behind `after` in the order of similarity, and whether more follow.

    Ties are broken by photo and face number, which never change: photos that arrive between two
    pages neither repeat nor hide others.
    """
    ordered = sorted(candidates, key=lambda candidate: candidate.position)
    if after is not None:
        ordered = [candidate for candidate in ordered if candidate.position > after]
    return ordered[:size], len(ordered) > size
