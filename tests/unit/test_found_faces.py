"""What is remembered of found faces."""

import numpy as np

from searcher.found_faces import FoundFaces, RememberedFace

ROOM = 10_000


def face(told: bytes) -> RememberedFace:
    return RememberedFace(1, np.ones(8, dtype=np.float16), told)


def test_what_was_read_is_remembered_until_it_is_forgotten() -> None:
    faces = FoundFaces()
    one, two = face(b"one"), face(b"two")
    faces.remember({1: one, 2: two}, ROOM)
    assert faces.get(1) is one
    before = faces.size_bytes
    again = face(b"one")
    faces.remember({1: again}, ROOM)
    assert faces.size_bytes == before
    faces.forget(1)
    faces.forget(1)
    assert faces.get(1) is None and faces.get(2) is two
    assert not again.template.any() and two.template.all()
    faces.wipe()
    assert faces.size_bytes == 0 and faces.get(2) is None and not two.template.any()


def test_the_oldest_goes() -> None:
    faces = FoundFaces()
    faces.remember({number: face(b"x") for number in range(9)}, ROOM)
    full, first = faces.size_bytes, faces.get(0)
    last = face(b"x")
    faces.remember({9: last}, full)
    assert faces.get(0) is None and faces.get(1) is not None and faces.get(9) is last
    assert first is not None and not first.template.any()
    assert faces.size_bytes == full
