"""What is told of faces that were found lately, so that finding them again needs no look at their
rows."""

from collections.abc import Callable, Mapping

from common.names import EventName
from common.photo import FoundPhoto, StoredFace

LEAST_BYTES = 512 * 1024
"""A gallery's room for what is told of its faces, however small it is."""
_ENTRY_BYTES = 160
"""What Python adds to one entry's bytes."""

Teller = Callable[[EventName, StoredFace, FoundPhoto], bytes]
"""Puts what is told of a face in the form in which it is sent."""


class Told:
    """By face number, as it is sent. Rows of faces never change; they are deleted."""

    def __init__(self) -> None:
        self._told: dict[int, bytes] = {}
        self.size_bytes = 0

    def get(self, face_no: int) -> bytes | None:
        return self._told.get(face_no)

    def remember(self, told: Mapping[int, bytes], most_bytes: int) -> None:
        """Add what was told; the oldest goes where all of it would be larger than that."""
        for face_no, sent in told.items():
            self.forget(face_no)
            self._told[face_no] = sent
            self.size_bytes += len(sent) + _ENTRY_BYTES
        while self.size_bytes > most_bytes:
            self.forget(next(iter(self._told)))

    def forget(self, face_no: int) -> None:
        """Leave nothing of a face; one that is not here is passed over."""
        sent = self._told.pop(face_no, None)
        if sent is not None:
            self.size_bytes -= len(sent) + _ENTRY_BYTES
