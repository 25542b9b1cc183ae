"""Page tokens and sizes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidArgument
from common.paging import decode_token, encode_token, fingerprint, page_size


@given(st.text(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text())
def test_tokens_round_trip(owner: str, number: int, real: float, text: str) -> None:
    token = encode_token(owner, [number, real, text])
    assert decode_token(token, owner, int, float, str) == (number, real, text)


@given(st.text(max_size=60))
def test_rubbish_is_refused(token: str) -> None:
    if token:
        with pytest.raises(InvalidArgument, match="page_token"):
            decode_token(token, "owner", int)


def test_a_token_of_another_request_is_refused() -> None:
    token = encode_token("one", [1])
    with pytest.raises(InvalidArgument, match="another request"):
        decode_token(token, "other", int)
    with pytest.raises(InvalidArgument):
        decode_token(token, "one", str)
    with pytest.raises(InvalidArgument):
        decode_token(token, "one", int, int)


def test_no_token_is_the_first_page() -> None:
    assert decode_token("", "owner", int) is None


@given(st.lists(st.binary(), max_size=4), st.lists(st.binary(), max_size=4))
def test_fingerprints_tell_requests_apart(one: list[bytes], other: list[bytes]) -> None:
    assert (fingerprint(*one) == fingerprint(*other)) == (one == other)


def test_page_sizes_have_a_default_and_a_cap() -> None:
    assert page_size(0, default=50, most=100) == 50
    assert page_size(7, default=50, most=100) == 7
    assert page_size(101, default=50, most=100) == 100
    with pytest.raises(InvalidArgument):
        page_size(-1, default=50, most=100)
