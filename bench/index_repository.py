"""Reads what was indexed, templates included."""

from dataclasses import dataclass

import asyncpg
import numpy as np
from numpy.typing import NDArray

from common.db.codec import register_codecs
from common.db.sql import load_queries
from common.names import EventName

SQL = load_queries("bench")


@dataclass(frozen=True, slots=True)
class IndexedFaces:
    """Faces of one photo. corners: (N, 4) left, top, right, bottom. embeddings: (N, D)."""

    corners: NDArray[np.float32]
    embeddings: NDArray[np.float32]


async def indexed_faces(dsn: str, event: EventName) -> dict[str, IndexedFaces]:
    """The faces of an event that has no graph, by photo id."""
    connection = await asyncpg.connect(dsn)
    try:
        await register_codecs(connection)
        rows = await connection.fetch(SQL["faces_of_event"], event.key)
    finally:
        await connection.close()
    by_photo: dict[str, list[asyncpg.Record]] = {}
    for row in rows:
        by_photo.setdefault(row["photo_id"], []).append(row)
    return {photo: _faces(found) for photo, found in by_photo.items()}


def _faces(rows: list[asyncpg.Record]) -> IndexedFaces:
    boxes = np.array([row["box"] for row in rows], dtype=np.float32)
    corners = np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])
    return IndexedFaces(corners, np.stack([row["embedding"] for row in rows]))
