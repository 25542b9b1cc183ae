"""Templates in the database: candidates for a probe, and what to show of them."""

from collections.abc import Sequence

import asyncpg

from common.db.events import SQL as COMMON_SQL
from common.db.photos import face_from_row, photo_from_row
from common.db.sql import load_queries
from common.errors import FaceNotFound
from common.event import Event
from common.names import FaceName
from common.photo import Photo, StoredFace
from common.vision.types import EmbeddingVector
from searcher.candidates import Candidate

SQL = load_queries("searcher")


class Gallery:
    """One event's templates, as one snapshot of the database sees them."""

    def __init__(self, connection: asyncpg.Connection, event: Event) -> None:
        self._connection = connection
        self._event = event

    async def candidates(self, probe: EmbeddingVector, min_similarity: float) -> list[Candidate]:
        """Every template of the event with at least this similarity to the probe, in no order."""
        if self._event.pack is None:
            return []
        rows = await self._connection.fetch(
            SQL["candidates"],
            self._event.name.key,
            self._event.pack.pack_id,
            probe,
            min_similarity,
        )
        return [Candidate(row["face_no"], row["photo_no"], row["similarity"]) for row in rows]

    async def template(self, name: FaceName) -> EmbeddingVector:
        """The template of an indexed face. Raises FaceNotFound."""
        embedding: EmbeddingVector | None = None
        if self._event.pack is not None:
            embedding = await self._connection.fetchval(
                SQL["template"],
                self._event.name.key,
                self._event.pack.pack_id,
                name.face_no,
                name.photo.photo,
            )
        if embedding is None:
            raise FaceNotFound(f"there is no face {name}", metadata={"face": str(name)})
        return embedding

    async def photos(self, numbers: Sequence[int]) -> dict[int, Photo]:
        """Photos by number, without their faces."""
        rows = await self._connection.fetch(
            COMMON_SQL["photos_by_no"], self._event.name.key, numbers
        )
        return {row["photo_no"]: photo_from_row(row) for row in rows}

    async def faces(self, numbers: Sequence[int]) -> dict[int, StoredFace]:
        """Faces by number."""
        if self._event.pack is None:
            return {}
        rows = await self._connection.fetch(
            COMMON_SQL["faces_by_no"], self._event.name.key, self._event.pack.pack_id, numbers
        )
        return {row["face_no"]: face_from_row(row) for row in rows}
