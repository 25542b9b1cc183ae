"""What a similarity means: how often strangers reach it."""

import math
from dataclasses import dataclass
from statistics import NormalDist

_STANDARD = NormalDist()
_LOWEST, _HIGHEST = -1.0, 1.0
"""Cosines."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Strangers' similarities in the templates of one pack, as a normal distribution.

    It stands for their upper tail: `impostor_sd` is chosen so that the shares observed there are
    not above the model's, also where that makes it wider than the bulk. Raises ValueError unless
    impostor_sd > 0. Source: docs/decisions/0010-calibration.md.
    """

    impostor_mean: float
    impostor_sd: float

    def __post_init__(self) -> None:
        if not self.impostor_sd > 0:
            raise ValueError("impostor_sd must be above 0")

    def false_match_rate(self, similarity: float) -> float:
        """Probability that two strangers' similarity is at least this."""
        z = (similarity - self.impostor_mean) / self.impostor_sd
        # Unlike 1 - cdf, exact to the last digits far out in the tail.
        return 0.5 * math.erfc(z / math.sqrt(2))

    def expected_false_matches(self, similarity: float, faces: int) -> float:
        """How many of so many strangers' faces are expected at or above the similarity."""
        return faces * self.false_match_rate(similarity)

    def similarity_for(self, max_expected: float, faces: int) -> float:
        """The lowest similarity, in [-1, 1], at which no more false matches are expected.

        1 where no similarity is high enough, also for 0 expected; -1 where any will do, also for 0
        faces.
        """
        if faces <= 0 or max_expected >= faces:
            return _LOWEST
        share = max_expected / faces
        if share <= 0:
            return _HIGHEST
        similarity = self.impostor_mean - _STANDARD.inv_cdf(share) * self.impostor_sd
        return min(max(similarity, _LOWEST), _HIGHEST)
