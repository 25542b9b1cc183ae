"""The templates of one event in memory, a byte a number: here is found who may be similar enough,
and by the templates in the database, who is.

How far a template and a probe are from their codes is known, and no similarity is off by more than
both: whoever is similar enough is found.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import faiss
import numpy as np
from numpy.typing import NDArray

from common.similarity import SLACK
from common.template_rows import TemplateRows
from common.vision.types import EmbeddingVector
from searcher.huge_pages import use_huge_pages

SEGMENT_FACES = 16_384
"""Templates of one piece of memory: large enough that calls cost nothing, small enough to grow."""
_FIRST_K, _WIDER = 64, 8
_SPREAD = 6.0
"""Numbers of a template are cut off beyond so many times of what they are on average."""
_MOST = 127
ZERO = 128
"""What 0 is kept as: codes are kept without a sign."""


@dataclass(frozen=True, slots=True)
class Query:
    """A probe (D,), L2-normalised, and the similarity that its candidates must have at least, above
    0."""

    probe: EmbeddingVector
    min_similarity: float


class Block:
    """Codes of the templates of one event. Searched by several threads or changed by one, never
    both at a time."""

    def __init__(self, dimension: int) -> None:
        self._dimension = dimension
        self._segments: list[_Segment] = []
        self.faces = 0
        """Templates in the block, less those that were removed."""

    @property
    def size_bytes(self) -> int:
        """Memory of the codes and their numbers."""
        return sum(segment.size_bytes for segment in self._segments)

    @property
    def rows(self) -> int:
        """Templates and the gaps that removed ones left."""
        return sum(segment.rows for segment in self._segments)

    def append(self, rows: TemplateRows) -> None:
        """Add templates; their numbers must be new."""
        done = 0
        while done < len(rows):
            if not self._segments or self._segments[-1].rows == SEGMENT_FACES:
                self._segments.append(_Segment(self._dimension))
            last = self._segments[-1]
            room = SEGMENT_FACES - last.rows
            last.append(rows.part(done, done + room))
            done += room
        self.faces += len(rows)

    def remove(self, face_numbers: Sequence[int]) -> None:
        """Overwrite templates; numbers that are not here are passed over."""
        if face_numbers:
            gone = np.asarray(face_numbers, dtype=np.int32)
            self.faces -= sum(segment.remove(gone) for segment in self._segments)

    def wipe(self) -> None:
        """Overwrite everything: memory that is given back is not overwritten by anybody."""
        for segment in self._segments:
            segment.wipe()
        self._segments.clear()
        self.faces = 0

    def search(self, queries: Sequence[Query]) -> list[list[int]]:
        """Numbers of the faces that each query may be after, in no order: all that are similar
        enough, and few that are a little less. One pass over the block for all queries."""
        return self.search_some(queries, self.parts())

    def parts(self) -> "Parts":
        """What a pass has to search, to be handed to each thread that takes part in it."""
        return iter(tuple(self._segments))

    def search_some(self, queries: Sequence[Query], parts: "Parts") -> list[list[int]]:
        """As `search`, in those of the parts that no other thread has taken: each takes as many as
        it has time for."""
        found: list[list[int]] = [[] for _ in queries]
        probes = np.asarray([query.probe for query in queries], dtype=np.float32)
        codes, errors = codes_of(probes)
        for segment in parts:
            for i, more in enumerate(segment.search(codes, errors, queries)):
                found[i].extend(more)
        return found

    @property
    def segments(self) -> int:
        """How many threads can take part in a pass."""
        return len(self._segments)


def code_step(dimension: int) -> float:
    """How much of a vector's number one step of its code is."""
    return min(1.0, _SPREAD / math.sqrt(dimension)) / _MOST


def codes_of(
    vectors: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Codes of unit vectors (N, D), whole numbers of -127 to 127 (N, D), and how far each vector is
    from its code: (N,).

    vectors: is overwritten.
    """
    step = code_step(vectors.shape[1])
    vectors /= step
    codes = np.clip(np.rint(vectors), -_MOST, _MOST)
    vectors -= codes
    errors = np.linalg.norm(vectors, axis=1) * step
    vectors[:] = 0
    return codes, errors


class _Segment:
    """Up to SEGMENT_FACES templates."""

    def __init__(self, dimension: int) -> None:
        self._dimension = dimension
        self._index = _index(dimension)
        self._codes = np.empty((0, dimension), dtype=np.uint8)
        """The index's own memory: (rows, D)."""
        self._face_no = np.empty(0, dtype=np.int32)
        self._error = 0.0
        """The largest distance of a template from its code."""

    @property
    def rows(self) -> int:
        return len(self._face_no)

    @property
    def size_bytes(self) -> int:
        return int(self._index.codes.size()) + self._face_no.nbytes

    def append(self, rows: TemplateRows) -> None:
        before, after = self.rows, self.rows + len(rows)
        old, self._index = self._index, _index(self._dimension)
        # Written straight into the index: its own `add` wants single precision.
        memory = self._index.codes
        memory.resize(after * self._index.code_size)
        self._index.ntotal = after
        flat: NDArray[np.uint8] = faiss.rev_swig_ptr(memory.data(), memory.size())
        codes = flat.reshape(-1, self._dimension)
        codes[:before] = self._codes
        self._write(codes[before:], rows.templates)
        # Not grown in place: the vector would leave what it held where it was.
        self._codes[:] = ZERO
        self._codes = codes
        del old
        self._face_no = np.concatenate([self._face_no, rows.face_no])
        if after == SEGMENT_FACES:  # it stays where it is
            use_huge_pages(self._codes)

    def _write(self, memory: NDArray[np.uint8], templates: NDArray[np.float16]) -> None:
        """memory, templates: (N, D)."""
        codes, errors = codes_of(templates.astype(np.float32))
        self._error = max(self._error, float(errors.max()))
        codes += ZERO
        memory[:] = codes
        codes[:] = 0

    def remove(self, face_numbers: NDArray[np.int32]) -> int:
        """A template of zeros is similar to nobody; and nothing is left of the old one."""
        rows = np.flatnonzero(np.isin(self._face_no, face_numbers))
        if len(rows):
            self._codes[rows] = ZERO
            self._face_no[rows] = 0
        return len(rows)

    def wipe(self) -> None:
        self._codes[:] = ZERO

    def search(
        self,
        probes: NDArray[np.float32],
        errors: NDArray[np.float32],
        queries: Sequence[Query],
    ) -> Iterator[list[int]]:
        """probes: (Q, D), codes of those of `queries`; errors: (Q,), how far they are off. Yields
        the numbers for each."""
        step = code_step(self._dimension)
        k = min(_FIRST_K, self.rows)
        values, rows = self._index.search(probes, k)
        for i, query in enumerate(queries):
            off = errors[i] + (1 + errors[i]) * self._error
            lowest = (query.min_similarity - SLACK - off) / step**2
            near, where, wide = values[i], rows[i], k
            while near[-1] >= lowest and wide < self.rows:
                wide = min(wide * _WIDER, self.rows)
                (near,), (where,) = self._index.search(probes[i : i + 1], wide)
            numbers = self._face_no[where[near >= lowest]]
            # A removed template has number 0, and similarity 0 that a very low threshold reaches.
            yield numbers[numbers > 0].tolist()


Parts = Iterator[_Segment]


def _index(dimension: int) -> faiss.IndexScalarQuantizer:
    """Its probes have to be whole numbers: it takes no others."""
    return faiss.IndexScalarQuantizer(
        dimension, faiss.ScalarQuantizer.QT_8bit_direct_signed, faiss.METRIC_INNER_PRODUCT
    )
