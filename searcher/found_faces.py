"""What was read of faces that were found lately, so that finding them again needs no look at their
rows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.names import EventName
from common.photo import FoundPhoto, StoredFace

LEAST_BYTES = 4 * 1024 * 1024
"""A gallery's room for the faces that were found lately, however small it is."""
_ENTRY_BYTES = 480
"""What Python adds to one entry."""

Teller = Callable[[EventName, StoredFace, FoundPhoto], bytes]
"""Puts what is told of a face in the form in which it is sent."""


@dataclass(frozen=True, slots=True)
class RememberedFace:
    """template: (D,), in the event's own space. told: as it is sent."""

    photo_no: int
    template: NDArray[np.float16]
    told: bytes

    @property
    def size_bytes(self) -> int:
        return self.template.nbytes + len(self.told) + _ENTRY_BYTES


class FoundFaces:
    """By number. Rows of faces never change; they are deleted."""

    def __init__(self) -> None:
        self._faces: dict[int, RememberedFace] = {}
        self.size_bytes = 0

    def get(self, face_no: int) -> RememberedFace | None:
        return self._faces.get(face_no)

    def remember(self, faces: Mapping[int, RememberedFace], most_bytes: int) -> None:
        """Add faces; the oldest go where all would be larger than that."""
        for face_no, face in faces.items():
            self.forget(face_no)
            self._faces[face_no] = face
            self.size_bytes += face.size_bytes
        while self.size_bytes > most_bytes:
            self.forget(next(iter(self._faces)))

    def forget(self, face_no: int) -> None:
        """Overwrite a template and leave nothing of its face; one that is not here is passed
        over."""
        face = self._faces.pop(face_no, None)
        if face is not None:
            face.template[:] = 0
            self.size_bytes -= face.size_bytes

    def wipe(self) -> None:
        """Forget all."""
        for face_no in list(self._faces):
            self.forget(face_no)
