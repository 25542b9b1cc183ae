"""Whether decoding large photos shrunk loses faces, or changes who is taken for whom."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.figures import Bar, Figure
from bench.index_child import Child
from bench.index_parity import SAME_FACE, overlaps_with
from bench.index_photos import Labelled
from bench.index_stage import IndexStage

_LEAST_SIDE = 40.0
"""Shorter side, in pixels of the photo, of the faces that are counted."""
_CHANGED = 0.99
"""Embeddings of a lower cosine are told as changed."""

Faces = Mapping[str, Sequence[Mapping[str, Any]]]
"""Of each photo, the answer of `bench.index_alone`."""


def measure(stage: IndexStage, alone: Child) -> list[Figure]:
    """The same worker on the same bytes, decoded as it does and in full."""
    stage.progress.say("faces of photos that are decoded shrunk")
    sets = [*stage.sets, stage.crowd, *([stage.labelled.photos] if stage.labelled else [])]
    files = [file for photos in sets for file in photos.files]
    ours: Faces = alone.ask(do="faces", photos=files, whole=False)
    whole: Faces = alone.ask(do="faces", photos=files, whole=True)
    figures = _compared(_Compared.of(whole, ours), _Compared.of(ours, whole))
    if stage.labelled:
        figures.append(_separation(stage.labelled, whole, ours))
    return figures


@dataclass(frozen=True, slots=True)
class _Compared:
    """What became of one side's faces on the other. cosines: of those that both embed."""

    faces: int
    lost: int
    cosines: Sequence[float]

    @classmethod
    def of(cls, expected: Faces, found: Faces) -> "_Compared":
        faces, lost, cosines = 0, 0, []
        for file, each in expected.items():
            corners = np.array([one["corners"] for one in found[file]], np.float32).reshape(-1, 4)
            for face in each:
                box = np.array(face["corners"], np.float32)
                if (box[2:] - box[:2]).min() < _LEAST_SIDE:
                    continue
                faces += 1
                overlaps = overlaps_with(box, corners)
                if not len(overlaps) or overlaps.max() < SAME_FACE:
                    lost += 1
                    continue
                other = found[file][int(overlaps.argmax())]
                if face["embedding"] and other["embedding"]:
                    cosines.append(float(np.dot(face["embedding"], other["embedding"])))
        return cls(faces, lost, cosines)


def _compared(there: _Compared, back: _Compared) -> list[Figure]:
    cosines = there.cosines
    note = f"{there.faces} faces; {back.lost} others are found in shrunk photos only"
    changed = float(np.mean(np.array(cosines) < _CHANGED))
    return [
        Figure(
            "shrunk_lost", f"faces >= {_LEAST_SIDE:.0f} px lost by decoding shrunk: share",
            there.lost / there.faces, "", Bar("<=", 0.005), note=note,
        ),
        Figure(
            "shrunk_median_cosine", "embeddings of shrunk photos to those of whole ones: cosine",
            float(np.median(cosines)), "", None, (min(cosines), max(cosines)),
            f"{changed:.0%} below {_CHANGED}, as the landmarks of small faces move",
        ),
    ]  # fmt: skip


def _separation(labelled: Labelled, whole: Faces, ours: Faces) -> Figure:
    """How far apart the similarities of one person and of two are, against full decoding."""
    before, after = (_Similarities.of(labelled, faces) for faces in (whole, ours))
    note = (
        f"d' {after.separation:.3f} / {before.separation:.3f}; one person {after.text} shrunk,"
        f" {before.text} whole; median, lowest 5 %, strangers' highest 1 %"
    )
    value = after.separation / before.separation
    return Figure("shrunk_separation", "people told apart, shrunk / whole", value, "x", note=note)


@dataclass(frozen=True, slots=True)
class _Similarities:
    """Of all pairs of faces from different source photos."""

    genuine: NDArray[np.float64]
    impostor: NDArray[np.float64]

    @classmethod
    def of(cls, labelled: Labelled, faces: Faces) -> "_Similarities":
        sources, embeddings = [], []
        for file, cells in labelled.cells.items():
            for face in faces[file]:
                left, top, right, bottom = face["corners"]
                if face["embedding"] and min(right - left, bottom - top) >= _LEAST_SIDE:
                    sources.append(cells.source_at((left + right) / 2, (top + bottom) / 2))
                    embeddings.append(face["embedding"])
        people = np.array([labelled.people[source] for source in sources])
        upper = np.triu_indices(len(sources), 1)
        similarities = (np.array(embeddings) @ np.array(embeddings).T)[upper]
        same_source = np.equal.outer(sources, sources)[upper]
        same_person = np.equal.outer(people, people)[upper]
        return cls(similarities[same_person & ~same_source], similarities[~same_person])

    @property
    def separation(self) -> float:
        """d': distance of the means in standard deviations."""
        spread = np.sqrt((self.genuine.var() + self.impostor.var()) / 2)
        return float((self.genuine.mean() - self.impostor.mean()) / spread)

    @property
    def text(self) -> str:
        genuine = np.quantile(self.genuine, [0.5, 0.05])
        return f"{genuine[0]:.3f}, {genuine[1]:.3f}, {np.quantile(self.impostor, 0.99):.3f}"
