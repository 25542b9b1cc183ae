"""What is remembered of found faces."""

from searcher.told import Told

ROOM = 10_000


def test_what_was_told_is_remembered_until_it_is_forgotten() -> None:
    told = Told()
    told.remember({1: b"one", 2: b"two"}, ROOM)
    assert told.get(1) == b"one"
    before = told.size_bytes
    told.remember({1: b"one"}, ROOM)
    assert told.size_bytes == before
    told.forget(1)
    told.forget(1)
    assert told.get(1) is None and told.get(2) == b"two"
    told.forget(2)
    assert told.size_bytes == 0


def test_the_oldest_goes() -> None:
    told = Told()
    told.remember({number: b"x" for number in range(9)}, ROOM)
    full = told.size_bytes
    told.remember({9: b"x"}, full)
    assert told.get(0) is None and told.get(1) == b"x" and told.get(9) == b"x"
    assert told.size_bytes == full
