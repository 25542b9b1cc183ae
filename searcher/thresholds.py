"""From which similarity on a template is a match."""

from dataclasses import dataclass
from typing import Self

from common.event import Event, StoredPack
from common.vision.types import Pack


@dataclass(frozen=True, slots=True)
class Cut:
    """What a caller asks for: a similarity, a number of strangers to expect at most, or neither."""

    min_similarity: float | None = None
    max_expected_false_matches: float | None = None


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From `min_similarity` on a match is POSSIBLE, from `confident_similarity` on CONFIDENT."""

    min_similarity: float
    confident_similarity: float
    expected_false_matches: float = 0.0
    """Strangers to expect at or above `min_similarity`, by the pack's calibration."""

    @classmethod
    def of(cls, pack: Pack | StoredPack) -> Self:
        """The pack's own, for comparing one to one."""
        return cls(pack.min_similarity, pack.confident_similarity)

    @classmethod
    def of_search(cls, event: Event, pack: Pack | StoredPack, cut: Cut, probes: int) -> Self:
        """Those of a search of `event` with so many probes that can be used."""
        comparisons = event.counts.faces * probes
        lowest = cut.min_similarity or event.fields.settings.min_similarity or pack.min_similarity
        if cut.max_expected_false_matches is not None:
            lowest = pack.calibration.similarity_for(cut.max_expected_false_matches, comparisons)
            lowest = max(lowest, LEAST_SIMILARITY)
        return cls(
            lowest,
            max(lowest, pack.confident_similarity),
            pack.calibration.expected_false_matches(lowest, comparisons),
        )


LEAST_SIMILARITY = 0.01
"""Below, a similarity says nothing."""
