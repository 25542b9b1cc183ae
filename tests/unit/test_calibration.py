"""Similarities and expected false matches turn into each other, also far out in the tail."""

from math import inf, nan

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from common.calibration import Calibration
from common.vision.onnx.packs import default_calibration

CALIBRATIONS = st.builds(Calibration, st.floats(-0.5, 0.5), st.floats(0.01, 0.5))
SIMILARITIES = st.floats(-1, 1)
EXPECTED = st.floats(1e-12, 1e6)
FACES = st.integers(1, 10**9)


@pytest.mark.parametrize(
    ("deviations", "rate"),
    [(0.0, 0.5), (1.281552, 0.1), (2.326348, 1e-2), (4.753424, 1e-6), (-2.326348, 0.99)],
)
def test_the_rate_is_that_of_the_normal_tables(deviations: float, rate: float) -> None:
    calibration = Calibration(0.1, 0.05)
    similarity = 0.1 + deviations * 0.05
    assert calibration.false_match_rate(similarity) == pytest.approx(rate, rel=1e-4)
    assert calibration.expected_false_matches(similarity, 2000) == pytest.approx(
        2000 * rate, rel=1e-4
    )


@given(CALIBRATIONS, SIMILARITIES, SIMILARITIES, FACES)
def test_higher_similarities_are_reached_less_often(
    calibration: Calibration, one: float, other: float, faces: int
) -> None:
    low, high = sorted((one, other))
    rates = [calibration.false_match_rate(similarity) for similarity in (low, high)]
    assert 1 >= rates[0] >= rates[1] * (1 - 1e-12) >= 0
    assert calibration.expected_false_matches(low, faces) >= calibration.expected_false_matches(
        high, faces
    ) * (1 - 1e-12)


@given(CALIBRATIONS, EXPECTED, FACES)
def test_as_many_false_matches_are_expected_as_asked_for(
    calibration: Calibration, max_expected: float, faces: int
) -> None:
    similarity = calibration.similarity_for(max_expected, faces)
    assume(-1 < similarity < 1)
    expected = calibration.expected_false_matches(similarity, faces)
    assert expected == pytest.approx(max_expected, rel=1e-8)


@given(CALIBRATIONS, SIMILARITIES, FACES)
def test_a_similarity_comes_back_from_its_expected_false_matches(
    calibration: Calibration, similarity: float, faces: int
) -> None:
    rate = calibration.false_match_rate(similarity)
    # Rates below are no longer normal floats; towards 1 they lie too close to tell apart.
    assume(1e-300 < rate < 1 - 1e-4)
    expected = calibration.expected_false_matches(similarity, faces)
    assert calibration.similarity_for(expected, faces) == pytest.approx(similarity, abs=1e-9)


@given(CALIBRATIONS, EXPECTED, EXPECTED, FACES, FACES)
def test_fewer_false_matches_in_more_faces_need_a_higher_similarity(
    calibration: Calibration, one: float, other: float, some: int, more: int
) -> None:
    strict, lax = sorted((one, other))
    few, many = sorted((some, more))
    highest = calibration.similarity_for(strict, many)
    lowest = calibration.similarity_for(lax, few)
    assert -1 <= lowest <= highest + 1e-9 <= 1 + 1e-9


@given(CALIBRATIONS)
def test_extremes_stay_in_the_range_of_cosines(calibration: Calibration) -> None:
    assert calibration.similarity_for(0.1, 0) == -1
    assert calibration.similarity_for(0.0, 0) == -1
    assert calibration.similarity_for(7.0, 7) == -1
    assert calibration.similarity_for(inf, 10**9) == -1
    assert calibration.similarity_for(0.0, 1) == 1
    assert calibration.similarity_for(5e-324, 10**9) == 1
    assert -1 < calibration.similarity_for(1e-300, 1) <= 1
    assert calibration.expected_false_matches(0.5, 0) == 0


@pytest.mark.parametrize("sd", [0.0, -0.1, nan])
def test_without_a_spread_there_is_no_calibration(sd: float) -> None:
    with pytest.raises(ValueError, match="impostor_sd"):
        Calibration(0.0, sd)


def test_fewer_dimensions_spread_strangers_further() -> None:
    # Each of 169 pairs of people counted once, at 128 dimensions: see the decision on calibration.
    observed = {0.2: 0.027, 0.3: 0.0042, 0.4: 0.00052}
    narrow, wide = default_calibration(128), default_calibration(512)
    for similarity, share in observed.items():
        assert share < narrow.false_match_rate(similarity) < 3 * share
        assert wide.false_match_rate(similarity) < narrow.false_match_rate(similarity)
