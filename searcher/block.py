"""The templates of one event in memory, searched exactly."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import faiss
import numpy as np
from numpy.typing import NDArray

from common.candidate import Candidate
from common.similarity import SLACK, at_least, similarities
from common.template_rows import TemplateRows
from common.vision.types import EmbeddingVector
from searcher.huge_pages import use_huge_pages

SEGMENT_FACES = 16_384
"""Templates of one piece of memory: large enough that calls cost nothing, small enough to grow."""
_FIRST_K, _WIDER = 64, 8


@dataclass(frozen=True, slots=True)
class Query:
    """A probe (D,) and the similarity that its candidates must have at least, above 0."""

    probe: EmbeddingVector
    min_similarity: float


class Block:
    """Templates of one event, half precision. Searched by several threads or changed by one, never
    both at a time."""

    def __init__(self, dimension: int) -> None:
        self._dimension = dimension
        self._segments: list[_Segment] = []
        self.faces = 0
        """Templates in the block, less those that were removed."""

    @property
    def size_bytes(self) -> int:
        """Memory of the templates and their numbers."""
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

    def search(self, queries: Sequence[Query]) -> list[list[Candidate]]:
        """All candidates of each query, in no order: one pass over the block for all of them."""
        return self.search_some(queries, self.parts())

    def parts(self) -> "Parts":
        """What a pass has to search, to be handed to each thread that takes part in it."""
        return iter(tuple(self._segments))

    def search_some(self, queries: Sequence[Query], parts: "Parts") -> list[list[Candidate]]:
        """As `search`, in those of the parts that no other thread has taken: each takes as many as
        it has time for."""
        found: list[list[Candidate]] = [[] for _ in queries]
        probes = np.ascontiguousarray([query.probe for query in queries], dtype=np.float32)
        for segment in parts:
            for candidates, more in zip(found, segment.search(probes, queries), strict=True):
                candidates.extend(more)
        return found

    @property
    def segments(self) -> int:
        """How many threads can take part in a pass."""
        return len(self._segments)


class _Segment:
    """Up to SEGMENT_FACES templates."""

    def __init__(self, dimension: int) -> None:
        self._dimension = dimension
        self._index = _index(dimension)
        self._templates = np.empty((0, dimension), dtype=np.float16)
        """The index's own memory: (rows, D)."""
        self._face_no = np.empty(0, dtype=np.int32)
        self._photo_no = np.empty(0, dtype=np.int32)

    @property
    def rows(self) -> int:
        return len(self._face_no)

    @property
    def size_bytes(self) -> int:
        return int(self._index.codes.size()) + self._face_no.nbytes + self._photo_no.nbytes

    def append(self, rows: TemplateRows) -> None:
        before, after = self.rows, self.rows + len(rows)
        old, self._index = self._index, _index(self._dimension)
        # Written straight into the index: its own `add` wants single precision, twice the memory.
        codes = self._index.codes
        codes.resize(after * self._index.code_size)
        self._index.ntotal = after
        flat: NDArray[np.uint8] = faiss.rev_swig_ptr(codes.data(), codes.size())
        templates = flat.view(np.float16).reshape(-1, self._dimension)
        templates[:before] = self._templates
        templates[before:] = rows.templates
        # Not grown in place: the vector would leave what it held where it was.
        self._templates[:] = 0
        self._templates = templates
        del old
        self._face_no = np.concatenate([self._face_no, rows.face_no])
        self._photo_no = np.concatenate([self._photo_no, rows.photo_no])
        if after == SEGMENT_FACES:  # it stays where it is
            use_huge_pages(self._templates)

    def remove(self, face_numbers: NDArray[np.int32]) -> int:
        """A template of zeros is similar to nobody; and nothing is left of the old one."""
        rows = np.flatnonzero(np.isin(self._face_no, face_numbers))
        if len(rows):
            self._templates[rows] = 0
            self._face_no[rows] = 0
        return len(rows)

    def wipe(self) -> None:
        self._templates[:] = 0

    def search(
        self, probes: NDArray[np.float32], queries: Sequence[Query]
    ) -> Iterator[list[Candidate]]:
        """probes: (Q, D), those of `queries`. Yields the candidates of each."""
        k = min(_FIRST_K, self.rows)
        values, rows = self._index.search(probes, k)
        for i, query in enumerate(queries):
            lowest = query.min_similarity - SLACK
            near, where, wide = values[i], rows[i], k
            while near[-1] >= lowest and wide < self.rows:
                wide = min(wide * _WIDER, self.rows)
                (near,), (where,) = self._index.search(probes[i : i + 1], wide)
            yield self._candidates(query, where[near >= lowest])

    def _candidates(self, query: Query, rows: NDArray[np.int64]) -> list[Candidate]:
        if not len(rows):
            return []
        values = similarities(query.probe, self._templates[rows])
        # A removed template has number 0, and similarity 0 that a very low threshold reaches.
        wanted = at_least(values, query.min_similarity) & (self._face_no[rows] > 0)
        return [
            Candidate(face_no, photo_no, value)
            for face_no, photo_no, value in zip(
                self._face_no[rows[wanted]].tolist(),
                self._photo_no[rows[wanted]].tolist(),
                values[wanted].tolist(),
                strict=True,
            )
        ]


Parts = Iterator[_Segment]


def _index(dimension: int) -> faiss.IndexScalarQuantizer:
    return faiss.IndexScalarQuantizer(
        dimension, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )
