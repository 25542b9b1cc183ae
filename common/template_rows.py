"""Templates of one event as arrays."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class TemplateRows:
    """Templates with their numbers: face_no and photo_no (N,) int32, templates (N, D) float16."""

    face_no: NDArray[np.int32]
    photo_no: NDArray[np.int32]
    templates: NDArray[np.float16]

    def __len__(self) -> int:
        return len(self.face_no)

    def wipe(self) -> None:
        """Overwrite the templates, once they were copied to where they are kept."""
        self.templates[:] = 0

    def part(self, start: int, end: int) -> "TemplateRows":
        return TemplateRows(
            self.face_no[start:end], self.photo_no[start:end], self.templates[start:end]
        )
