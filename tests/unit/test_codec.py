"""Templates in pgvector's binary form."""

import numpy as np
from hypothesis import given
from hypothesis.extra.numpy import arrays

from common.db.codec import decode_halfvec, encode_halfvec
from common.vision.types import EmbeddingVector


@given(arrays(np.float16, (7,), elements={"allow_nan": False, "allow_infinity": False}))
def test_half_precision_round_trips(values: EmbeddingVector) -> None:
    vector = values.astype(np.float32)
    data = encode_halfvec(vector)
    assert len(data) == 4 + 2 * 7
    assert np.array_equal(decode_halfvec(data), vector)
