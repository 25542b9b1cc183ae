"""The one similarity: the same to the last decimal told, whichever index found the face.

Postgres and the galleries in memory sum in different orders and precisions. They only choose whom
to look at, with SLACK to spare; what is told, ordered and compared with a threshold is computed
here.
"""

import numpy as np
from numpy.typing import NDArray

from common.vision.types import EmbeddingVector

DECIMALS = 4
"""Similarities are told, ordered and cut to this many decimals: more than the templates' half
precision carries, and the same on every server and in every run."""
SLACK = 2e-3
"""More than any index is off by: halves of unit vectors are off by less than 1e-3."""


def told(similarity: float) -> float:
    """The similarity as callers see it."""
    return round(similarity, DECIMALS)


def similarities(
    probe: EmbeddingVector, templates: NDArray[np.float16] | NDArray[np.float32]
) -> NDArray[np.float64]:
    """Cosines of a probe (D,) with stored templates (N, D): (N,).

    The templates are half precision; so the probe is taken, as in SQL. Products of halves are exact
    in double precision, so the order of the sum does not show.
    """
    half = probe.astype(np.float16).astype(np.float64)
    return np.asarray(templates.astype(np.float64) @ half)


def at_least(values: NDArray[np.float64], min_similarity: float) -> NDArray[np.bool_]:
    """Which of `values`, as they are told, are at or above a threshold, as it is told."""
    return np.round(values, DECIMALS) >= told(min_similarity)
