"""Templates in the database: candidates for a probe, and what to show of them."""

from collections.abc import Sequence

import asyncpg

from common.candidate import Candidate
from common.db.events import SQL as COMMON_SQL
from common.db.faces import EventFaces
from common.db.photos import photo_from_row
from common.db.sql import load_queries
from common.errors import FaceNotFound
from common.event import Event
from common.names import FaceName
from common.photo import Photo, StoredFace
from common.vision.types import EmbeddingVector

SQL = load_queries("searcher")


class Gallery:
    """One event's templates, as one snapshot of the database sees them."""

    def __init__(self, connection: asyncpg.Connection, event: Event) -> None:
        self._connection = connection
        self._event = event

    async def candidates(self, probe: EmbeddingVector, min_similarity: float) -> list[Candidate]:
        """Every template of the event with at least this similarity to the probe, in no order."""
        return await EventFaces(self._connection, self._event).exact(probe, min_similarity)

    async def template(self, name: FaceName) -> EmbeddingVector:
        """The template of an indexed face. Raises FaceNotFound."""
        key, photo_id = self._event.name.key, name.photo.photo
        photo_no = await self._connection.fetchval(SQL["photo_no"], key, photo_id)
        found = await EventFaces(self._connection, self._event).template(name.face_no)
        if found is None or found[0] != photo_no:
            raise FaceNotFound(f"there is no face {name}", metadata={"face": str(name)})
        return found[1]

    async def photos(self, numbers: Sequence[int]) -> dict[int, Photo]:
        """Photos by number, without their faces."""
        rows = await self._connection.fetch(
            COMMON_SQL["photos_by_no"], self._event.name.key, numbers
        )
        return {row["photo_no"]: photo_from_row(row) for row in rows}

    async def faces(self, numbers: Sequence[int]) -> dict[int, StoredFace]:
        """Faces by number."""
        return await EventFaces(self._connection, self._event).by_no(numbers)
