"""Page tokens and sizes."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidArgument
from common.names import EVENT_ID
from common.paging import decode_token, encode_token, fingerprint, page_size

ids = st.from_regex(EVENT_ID, fullmatch=True)
reals = st.floats(allow_nan=False, allow_infinity=False)


@given(st.text(max_size=40), st.integers(0, 2**31 - 1), reals, ids)
def test_tokens_round_trip(owner: str, number: int, real: float, text: str) -> None:
    token = encode_token(owner, [number, real, text])
    assert decode_token(token, owner, int, float, str) == (number, real, text)


@given(st.text(max_size=60))
def test_rubbish_is_refused(token: str) -> None:
    if token:
        with pytest.raises(InvalidArgument, match="page_token"):
            decode_token(token, "owner", int)


def forged(*parts: object) -> str:
    """A token as anybody can write it."""
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode()


@pytest.mark.parametrize(
    ("token", "kind"),
    [
        pytest.param(forged("owner", -1), int, id="below every row"),
        pytest.param(forged("owner", 2**31), int, id="more than the database counts"),
        pytest.param(forged("owner", 10**4000), int, id="endless number"),
        pytest.param(forged("owner", True), int, id="no number"),
        pytest.param(forged("owner", float("nan")), float, id="NaN"),
        pytest.param(forged("owner", float("inf")), float, id="infinity"),
        pytest.param(forged("owner", "a\0"), str, id="NUL"),
        pytest.param(forged("owner", "\ud800"), str, id="half a character"),
        pytest.param(base64.b64encode(b"[" * 100_000).decode(), int, id="endless nesting"),
    ],
)
def test_a_forged_cursor_never_reaches_the_database(
    token: str, kind: type[int | float | str]
) -> None:
    with pytest.raises(InvalidArgument, match="page_token"):
        decode_token(token, "owner", kind)


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
