"""Resource names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import names
from common.errors import InvalidArgument
from common.names import EventName

event_ids = st.from_regex(names.EVENT_ID, fullmatch=True)
photo_ids = st.from_regex(names.PHOTO_ID, fullmatch=True)
face_numbers = st.integers(1, names.MAX_FACE_NO)


@given(event_ids, photo_ids, face_numbers)
def test_names_round_trip(event: str, photo: str, face_no: int) -> None:
    name = EventName(event)
    assert names.parse_event(str(name), "f") == name
    assert names.parse_photo(str(name.photo(photo)), "f") == name.photo(photo)
    face = name.photo(photo).face(face_no)
    assert names.parse_face(str(face), "f") == face


@given(st.text(max_size=80))
def test_any_text_is_a_name_or_refused(text: str) -> None:
    for parse in (names.parse_event, names.parse_photo, names.parse_face):
        try:
            parsed = parse(text, "field")
        except InvalidArgument as error:
            assert error.field == "field"
        else:
            assert str(parsed) == text


@pytest.mark.parametrize(
    "name",
    ["events/A", "events/-a", "events/a-", "events/" + "a" * 64, "events/a/", "event/a", "a", ""],
)
def test_malformed_events_are_refused(name: str) -> None:
    with pytest.raises(InvalidArgument):
        names.parse_event(name, "name")


@pytest.mark.parametrize("face", ["0", "01", "-1", "1.0", "2147483648", "", "x", "１"])
def test_malformed_faces_are_refused(face: str) -> None:
    with pytest.raises(InvalidArgument):
        names.parse_face(f"events/a/photos/b/faces/{face}", "name")


@given(event_ids, event_ids)
def test_keys_are_63_bits_and_tell_events_apart(one: str, other: str) -> None:
    assert 0 <= EventName(one).key < 2**63
    assert (EventName(one).key == EventName(other).key) == (one == other)
