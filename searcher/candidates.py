"""Candidates: merging those of several probes, one per photo, in a stable order, in pages."""

from collections.abc import Iterable, Sequence

from common.candidate import Candidate, Position


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
