"""Photos and faces in the database."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from common.db.events import EventReader
from common.db.faces import EventFaces
from common.db.photos import photo_from_row
from common.db.pool import Database
from common.db.sql import load_queries
from common.errors import FaceNotFound, PhotoNotFound
from common.event import Event
from common.names import EventName, FaceName, PhotoName
from common.photo import Photo, PhotoState, StoredFace
from indexer.erasure.erasures import Kind, Removed
from indexer.erasure.receipt_repository import record_faces

SQL = load_queries("indexer")


class PhotoRepository:
    """Reads and deletes photos and faces."""

    def __init__(self, database: Database, reader: EventReader) -> None:
        self._database = database
        self._reader = reader

    async def digest(self, event: Event, photo_id: str) -> tuple[bytes, PhotoState] | None:
        """SHA-256 and state of a stored photo of that very event, None when there is none."""
        async with self._database.statements(event.name) as connection:
            row = await connection.fetchrow(
                SQL["photo_digest"], event.name.key, photo_id, event.uid
            )
            return None if row is None else (row["sha256"], PhotoState(row["state"]))

    async def get(self, name: PhotoName) -> Photo:
        """Raises EventNotFound, PhotoNotFound."""

        async def work(connection: asyncpg.Connection) -> Photo:
            event = await self._reader.get(connection, name.event)
            return await _one(connection, event, name)

        return await self._database.read(work, name.event)

    async def list(
        self, name: EventName, after: int, state: PhotoState | None, limit: int
    ) -> list[Photo]:
        """Photos in commit order, from the one after number `after`. Raises EventNotFound."""

        async def work(connection: asyncpg.Connection) -> "list[Photo]":
            event = await self._reader.get(connection, name)
            rows = await connection.fetch(
                SQL["list_photos"], name.key, after, state.value if state else None, limit
            )
            return await photos_with_faces(connection, event, rows)

        return await self._database.read(work, name)

    async def delete_photo(self, name: PhotoName, *, validate_only: bool) -> Removed:
        """Delete a photo with its faces. Raises EventNotFound, PhotoNotFound."""
        erasure_id = None
        async with self._database.transaction(name.event) as connection:
            event, photo = await self._locked(connection, name)
            if not validate_only:
                key = name.event.key
                await forget(connection, event, [face.face_no for face in photo.faces])
                await connection.execute(SQL["delete_photo"], key, photo.photo_no)
                indexed = photo.state is PhotoState.INDEXED
                await advance(
                    connection,
                    key,
                    indexed=-int(indexed),
                    rejected=-int(not indexed),
                    faces=-len(photo.faces),
                )
                gone = [name.face(face.face_no) for face in photo.faces]
                erasure_id = await record_faces(
                    connection, event, Kind.PHOTO, gone, photo_numbers=[photo.photo_no]
                )
            return Removed(1, len(photo.faces), erasure_id)

    async def delete_face(self, name: FaceName, *, validate_only: bool) -> Removed:
        """Delete one face. Raises EventNotFound, FaceNotFound."""
        erasure_id = None
        async with self._database.transaction(name.photo.event) as connection:
            try:
                event, photo = await self._locked(connection, name.photo)
            except PhotoNotFound:
                raise face_not_found(name) from None
            if all(face.face_no != name.face_no for face in photo.faces):
                raise face_not_found(name)
            if not validate_only:
                await forget(connection, event, [name.face_no])
                await advance(connection, event.name.key, faces=-1)
                erasure_id = await record_faces(connection, event, Kind.FACE, [name])
            return Removed(0, 1, erasure_id)

    async def report_pending(self, event: EventName, server_id: UUID, pending: int) -> None:
        """Say how many photos of an event this server is working on."""
        async with self._database.transaction(event) as connection:
            if pending:
                await connection.execute(SQL["report_pending"], event.key, server_id, pending)
            else:
                await connection.execute(SQL["clear_pending"], event.key, server_id)

    async def _locked(self, connection: asyncpg.Connection, name: PhotoName) -> tuple[Event, Photo]:
        await connection.fetchrow(SQL["lock_event"], name.event.key)
        event = await self._reader.get(connection, name.event)
        return event, await _one(connection, event, name)


async def _one(connection: asyncpg.Connection, event: Event, name: PhotoName) -> Photo:
    rows = await connection.fetch(SQL["photos_by_id"], name.event.key, [name.photo])
    if not rows:
        raise PhotoNotFound(f"there is no photo {name}", metadata={"photo": str(name)})
    return (await photos_with_faces(connection, event, rows))[0]


async def photos_with_faces(
    connection: asyncpg.Connection, event: Event, rows: Sequence[asyncpg.Record]
) -> list[Photo]:
    """Photos of rows of `photo`, in their order, with their faces."""
    faces: dict[int, list[StoredFace]] = {}
    if rows:
        faces = await EventFaces(connection, event).of_photos([row["photo_no"] for row in rows])
    return [photo_from_row(row, faces.get(row["photo_no"], ())) for row in rows]


async def forget(connection: asyncpg.Connection, event: Event, numbers: Sequence[int]) -> None:
    """Delete faces of the locked event with the version that `advance` gives it next, and leave a
    tombstone for whoever holds their templates."""
    if numbers:
        await EventFaces(connection, event).delete(numbers)
        await connection.execute(
            SQL["insert_tombstones"], event.name.key, event.version + 1, numbers
        )


async def advance(
    connection: asyncpg.Connection,
    key: int,
    *,
    photo_numbers: int = 0,
    face_numbers: int = 0,
    indexed: int = 0,
    rejected: int = 0,
    faces: int = 0,
    pack_id: int | None = None,
) -> None:
    """Give the locked event its next version, with its numbers and counts moved on."""
    await connection.execute(
        SQL["advance_event"], key, photo_numbers, face_numbers, indexed, rejected, faces, pack_id
    )


def face_not_found(name: FaceName) -> FaceNotFound:
    return FaceNotFound(f"there is no face {name}", metadata={"face": str(name)})
