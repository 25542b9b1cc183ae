"""The faces of one event, wherever they stand: the shared table, the event's own relation, or
both."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import asyncpg

from common.candidate import Candidate, similar_enough
from common.db.copy_stream import TemplateStream
from common.db.events import counts_from_row, standing_from_row
from common.db.photos import face_from_row, found_photo_from_row
from common.db.pool import SnapshotNeeded
from common.db.sql import load_queries
from common.event import Event, EventCounts
from common.names import MAX_FACE_NO
from common.photo import FoundFace, StoredFace
from common.similarity import SLACK
from common.template_rows import TemplateRows
from common.vision.types import EmbeddingVector

SQL = load_queries("common.db")
MAX_EF_SEARCH = 1000
"""pgvector's own limit."""
_WIDER = 4


@dataclass(frozen=True, slots=True)
class Part:
    """One place of an event's faces: those numbered from `start` to before `end`."""

    table: str
    start: int
    end: int

    def query(self, name: str) -> str:
        return SQL[name].replace("{faces}", self.table)


class EventFaces:
    """Reads the faces of `event` as `connection` sees them, templates and probes in the event's own
    space; connection and event must be of one snapshot, or the
    event's row must be locked, or `with_photos` come last, which tells whether all was of one
    piece."""

    def __init__(self, connection: asyncpg.Connection, event: Event) -> None:
        self._connection = connection
        self._event = event
        self._shared = Part("face", event.mark, MAX_FACE_NO)
        self._own = None
        self._known: dict[int, asyncpg.Record] = {}
        """Rows of faces that the graph came up with, by number."""
        self.came_up: int | None = None
        """How many faces the graph came up with, similar or not; None where none was similar."""
        if event.relation is not None:
            self._own = Part(f"ev_{event.relation.number}.face", 0, event.mark)

    @property
    def parts(self) -> Sequence[Part]:
        """The places to look at, none where nothing was ever indexed."""
        if self._event.pack is None:
            return ()
        if self._own is None:
            return (self._shared,)
        # Most of the time, nothing came since the relation was built.
        late = self._event.next_face_no > self._event.mark
        return (self._own, self._shared) if late else (self._own,)

    async def by_no(self, numbers: Sequence[int]) -> dict[int, StoredFace]:
        """Faces by number, without their templates."""
        rows = await self._by_no("faces_by_no", numbers)
        return {row["face_no"]: face_from_row(row) for row in rows}

    async def with_photos(self, numbers: Sequence[int]) -> tuple[EventCounts, dict[int, FoundFace]]:
        """The event's counts now, and faces by number with their photos and templates.

        Raises SnapshotNeeded where the event is no more as it was, or one of the faces is gone: so
        what was read of it before is of one piece with these.
        """
        key = self._event.name.key
        faces: dict[int, asyncpg.Record] = {}
        if not numbers:
            rows = await self._connection.fetch(SQL["standing"], key)
        elif self._own is None:
            rows = await self._fetch(self._shared, "faces_with_photos", [numbers])
            faces = {row["face_no"]: row for row in rows if row["face_no"]}
        else:
            faces = {n: self._known[n] for n in numbers if n in self._known}
            unknown = [number for number in numbers if number not in faces]
            faces |= {row["face_no"]: row for row in await self._by_no("faces_by_no", unknown)}
            wanted = list({face["photo_no"] for face in faces.values()})
            rows = await self._connection.fetch(SQL["photos_by_no"], key, wanted)
        photos = {row["photo_no"]: found_photo_from_row(row) for row in rows if row.get("photo_no")}
        if not rows or standing_from_row(rows[0]) != self._event.standing:
            raise SnapshotNeeded
        found = {
            number: FoundFace(face_from_row(row), photos[row["photo_no"]], row["embedding"])
            for number, row in faces.items()
            if row["photo_no"] in photos
        }
        if len(found) < len(numbers):
            raise SnapshotNeeded
        return counts_from_row(rows[0]), found

    async def of_photos(self, photo_numbers: Sequence[int]) -> dict[int, list[StoredFace]]:
        """Faces by the number of their photo, without their templates."""
        faces: dict[int, list[StoredFace]] = {}
        for row in await self._rows("faces_of_photos", photo_numbers):
            faces.setdefault(row["photo_no"], []).append(face_from_row(row))
        return faces

    async def template(self, face_no: int) -> tuple[int, EmbeddingVector] | None:
        """Photo number and template (D,) of a face."""
        return (await self.templates_by_no([face_no])).get(face_no)

    async def templates_by_no(
        self, numbers: Sequence[int]
    ) -> dict[int, tuple[int, EmbeddingVector]]:
        """Photo numbers and templates (D,) of those of the faces that are there, by number."""
        rows = await self._by_no("templates_by_no", numbers)
        return {row["face_no"]: (row["photo_no"], row["embedding"]) for row in rows}

    async def exact(self, probe: EmbeddingVector, min_similarity: float) -> list[Candidate]:
        """Every face at or above the threshold, in no order."""
        rows = await self._rows("similar_faces", probe, min_similarity - SLACK)
        return _candidates(rows, probe, min_similarity)

    async def nearest(
        self, probe: EmbeddingVector, min_similarity: float, ef_search: int
    ) -> list[Candidate] | None:
        """Faces at or above the threshold by the graph of the own relation, and by the exact scan
        of what came since it was built.

        None where the graph cannot tell the whole answer: it gives no more than MAX_EF_SEARCH, and
        that it gives nothing may mean that no path leads to that person, who may be in many photos.
        """
        assert self._own is not None
        found = await self.nearest_in_graph(probe, min_similarity, ef_search)
        if found is None:
            return None
        if self._shared in self.parts:
            rows = await self._fetch(self._shared, "similar_faces", (probe, min_similarity - SLACK))
            found += _candidates(rows, probe, min_similarity)
        return found

    async def nearest_in_graph(
        self, probe: EmbeddingVector, min_similarity: float, ef_search: int
    ) -> list[Candidate] | None:
        """As `nearest`, of the own relation alone; searched wider as long as all that comes back
        is above the threshold."""
        assert self._own is not None
        query = self._own.query("nearest_faces")
        while True:
            rows = await self._connection.fetch(
                query.replace("{limit}", str(ef_search)),
                self._event.name.key,
                probe,
                min_similarity - SLACK,
            )
            self._known = {row["face_no"]: row for row in rows}
            found = _candidates(rows, probe, min_similarity)
            self.came_up = rows[0]["among"] if rows else None
            if not found:
                return None
            if len(found) < rows[0]["among"]:
                return found
            if rows[0]["among"] < ef_search or ef_search >= MAX_EF_SEARCH:
                # All are similar and yet fewer than asked for: the graph did not reach the rest.
                return None
            ef_search = min(ef_search * _WIDER, MAX_EF_SEARCH)

    async def delete(self, numbers: Sequence[int]) -> None:
        """Remove faces and any copy of them. The event's row must be locked."""
        key = self._event.name.key
        if self._own is not None:
            query = self._own.query("delete_face")
            await self._connection.executemany(query, [(key, number) for number in numbers])
        await remove_faces(self._connection, key, 0, MAX_FACE_NO, numbers)

    async def templates(
        self,
        start: int,
        take: Callable[[TemplateRows], None],
        batch: int = 2048,
        end: int = MAX_FACE_NO,
    ) -> None:
        """Hand the templates numbered from `start` to before `end` on to `take`, by binary COPY,
        `batch` at a time."""
        for part in self.parts:
            first, last = max(start, part.start), min(end, part.end)
            if first < last:
                stream = TemplateStream(self._dimension, take, batch)
                await self._connection.copy_from_query(
                    part.query("copy_templates").rstrip(";"),
                    self._event.name.key,
                    self._pack_id,
                    first,
                    last,
                    output=stream.feed,
                    format="binary",
                )
                stream.finish()

    async def deleted_since(self, version: int) -> list[int]:
        """Numbers of the faces that were deleted after `version`, at least the event's
        `tombstone_floor`."""
        rows = await self._connection.fetch(SQL["tombstones"], self._event.name.key, version)
        return [row["face_no"] for row in rows]

    @property
    def _pack_id(self) -> int:
        assert self._event.pack is not None
        return self._event.pack.pack_id

    @property
    def _dimension(self) -> int:
        assert self._event.pack is not None
        return self._event.pack.dimension

    async def _rows(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        return [row for part in self.parts for row in await self._fetch(part, query, arguments)]

    async def _by_no(self, query: str, numbers: Sequence[int]) -> list[asyncpg.Record]:
        rows = []
        for part in self.parts:
            here = [number for number in numbers if part.start <= number < part.end]
            if here:
                rows += await self._fetch(part, query, [here])
        return rows

    async def _fetch(
        self, part: Part, query: str, arguments: Sequence[object]
    ) -> list[asyncpg.Record]:
        rows: list[asyncpg.Record] = await self._connection.fetch(
            part.query(query),
            self._event.name.key,
            self._pack_id,
            part.start,
            part.end,
            *arguments,
        )
        return rows


async def remove_faces(
    connection: asyncpg.Connection,
    key: int,
    start: int,
    end: int,
    numbers: Sequence[int] | None = None,
) -> None:
    """Remove faces numbered from `start` to before `end` from the shared table, of an event whose
    row is locked; only `numbers` where they are given.

    Marks their pages, so that what they leave there is overwritten.
    """
    await connection.execute(SQL["remove_faces"], key, start, end, numbers)


def _candidates(
    rows: Sequence[asyncpg.Record], probe: EmbeddingVector, min_similarity: float
) -> list[Candidate]:
    faces = [(row["face_no"], row["photo_no"], row["embedding"]) for row in rows]
    return similar_enough(probe, min_similarity, faces)
