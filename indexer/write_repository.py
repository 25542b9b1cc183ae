"""Committing indexed photos: many photos of one event in one transaction."""

import asyncio
import json
import logging
from collections.abc import Container, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from time import monotonic

import asyncpg

from common.db.events import EventReader
from common.db.photos import face_record, faces_to_json
from common.db.pool import CommitUnknown, Database
from common.db.sql import load_queries
from common.errors import (
    DatabaseUnavailable,
    EventNotFound,
    FacePassError,
    InvalidImage,
    PackMismatch,
    PhotoIdConflict,
)
from common.event import Event, StoredPack
from common.photo import Photo, PhotoInfo, PhotoState, StoredFace
from common.vision.types import Analysis, Face
from indexer.erasure.erasures import Kind
from indexer.erasure.receipt_repository import record_faces
from indexer.erasure.suppression import Suppressions
from indexer.repository import advance, forget, photos_with_faces

SQL = load_queries("indexer")
log = logging.getLogger(__name__)
_PAUSE_S = 0.25


@dataclass(frozen=True, slots=True)
class PhotoWrite:
    """One photo to commit: what was found in it, or why it is rejected."""

    info: PhotoInfo
    sha256: bytes
    size_bytes: int
    found: Analysis | InvalidImage
    replace: bool


@dataclass(frozen=True, slots=True)
class Written:
    """What a commit made of a photo: stored now, or known before with the same bytes."""

    photo: Photo
    duplicate: bool


@dataclass
class _Batch:
    """Rows of one transaction, and what they change in the event."""

    event: Event
    pack: StoredPack
    photo_no: int
    face_no: int
    now: datetime
    suppressions: Suppressions
    replaced: list[Photo] = field(default_factory=list)
    photos: list[Photo] = field(default_factory=list)
    templates: list[tuple[object, ...]] = field(default_factory=list)

    @property
    def version(self) -> int:
        return self.event.version + 1

    def add(self, write: PhotoWrite, before: Photo | None) -> Photo:
        """Number a photo and its faces; `before` is the stored photo whose place it takes."""
        if before is not None:
            self.replaced.append(before)
        number, self.photo_no = self.photo_no, self.photo_no + 1
        photo = (
            self._rejected(write, number)
            if isinstance(write.found, InvalidImage)
            else (self._indexed(write, write.found, number))
        )
        self.photos.append(photo)
        return photo

    def _rejected(self, write: PhotoWrite, number: int) -> Photo:
        assert isinstance(write.found, InvalidImage)
        return Photo(
            number, write.info, PhotoState.REJECTED, write.sha256, write.size_bytes, 0, 0, (), (),
            write.found.reason, write.found.message, self.now,
        )  # fmt: skip

    def _indexed(self, write: PhotoWrite, found: Analysis, number: int) -> Photo:
        seen = [self.suppressions.without_template(face) for face in found.faces]
        faces = tuple(self._face(face, number) for face in seen if face.embedding is not None)
        unindexed = tuple(face for face in seen if face.embedding is None)
        return Photo(
            number, write.info, PhotoState.INDEXED, write.sha256, write.size_bytes, found.width,
            found.height, faces, unindexed, "", "", self.now,
        )  # fmt: skip

    def _face(self, face: Face, photo_no: int) -> StoredFace:
        number, self.face_no = self.face_no, self.face_no + 1
        self.templates.append(
            face_record(
                self.event.name.key, self.pack.pack_id, number, photo_no, self.version, face
            )
        )
        return StoredFace(number, photo_no, face.detection, face.quality)


class WriteRepository:
    """Commits photos."""

    def __init__(
        self, database: Database, reader: EventReader, pack: StoredPack, settle_s: float = 10.0
    ) -> None:
        """settle_s: longest wait for a database that went away before it confirmed a commit."""
        self._database = database
        self._reader = reader
        self._pack = pack
        self._settle_s = settle_s

    async def write(
        self, event: Event, writes: Sequence[PhotoWrite]
    ) -> list[Written | FacePassError]:
        """Commit photos of one event, all or none; photo ids must differ within a call.

        Returns one outcome per photo. Raises EventNotFound when the event is gone or is another one
        of the same name, PackMismatch when its templates come from another pack, TemplateKeyMissing
        when they need a key that is not here, CommitUnknown when the database went away before it
        said whether it stored them, and stays away.
        """
        writes = [_into_space(event, write) for write in writes]
        unconfirmed: set[int] = set()
        try:
            return await self._write(event, writes, unconfirmed)
        except CommitUnknown:
            log.warning("a commit was not confirmed", extra={"action": "commit_unknown"})
        return await self._settle(event, writes, unconfirmed)

    async def _settle(
        self, event: Event, writes: Sequence[PhotoWrite], unconfirmed: set[int]
    ) -> list[Written | FacePassError]:
        """Find out by writing once more, which cannot store anything twice.

        The unconfirmed transaction locked the event's row, and writing begins with that lock.
        Postgres grants it only once that transaction has ended, wherever its COMMIT still is: on
        the way, in a backend, or lost, when the session is ended for idling. What is read then is
        final: either the photos are there, in the version that it wrote, or nothing of it is, and
        they are written now.
        """
        until = monotonic() + self._settle_s
        while True:
            try:
                return await self._write(event, writes, unconfirmed)
            except DatabaseUnavailable as error:
                if monotonic() > until:
                    raise CommitUnknown(
                        "the database went away before it said whether it stored the photo; send "
                        "it again"
                    ) from error
            await asyncio.sleep(_PAUSE_S)

    async def _write(
        self, event: Event, writes: Sequence[PhotoWrite], unconfirmed: set[int]
    ) -> list[Written | FacePassError]:
        """unconfirmed: versions of attempts that Postgres was asked to commit; this one's goes
        there."""
        async with self._database.transaction(event.name) as connection:
            batch = await self._begin(connection, event)
            ids = [write.info.photo_id for write in writes]
            rows = await connection.fetch(SQL["photos_by_id"], event.name.key, ids)
            stored = await photos_with_faces(connection, batch.event, rows)
            known = {photo.info.photo_id: photo for photo in stored}
            ours = {row["photo_id"] for row in rows if row["version"] in unconfirmed}
            outcomes = [
                _place(batch, write, known.get(write.info.photo_id), ours) for write in writes
            ]
            if batch.photos:
                await _store(connection, batch)
                unconfirmed.add(batch.version)
            return outcomes

    async def _begin(self, connection: asyncpg.Connection, event: Event) -> _Batch:
        row = await connection.fetchrow(SQL["lock_event"], event.name.key)
        if row is None or row["uid"] != event.uid:
            raise EventNotFound(f"{event.name} was deleted", metadata={"event": str(event.name)})
        current = await self._reader.from_row(connection, row)
        check_pack(current, self._pack.key)
        suppressed = await connection.fetch(SQL["suppressions"], event.name.key, event.uid)
        suppressions = Suppressions([(s["embedding"], s["min_similarity"]) for s in suppressed])
        return _Batch(
            current,
            self._pack,
            row["next_photo_no"],
            row["next_face_no"],
            row["now"],
            suppressions,
        )


def _into_space(event: Event, write: PhotoWrite) -> PhotoWrite:
    """The photo with its templates as the event keeps them."""
    if isinstance(write.found, InvalidImage):
        return write
    faces = tuple(
        face
        if face.embedding is None
        else replace(face, embedding=event.space.into(face.embedding))
        for face in write.found.faces
    )
    return replace(write, found=replace(write.found, faces=faces))


def check_pack(event: Event, key: str) -> None:
    """Raises PackMismatch when the event's templates were made by another pack than `key`."""
    if event.pack is not None and event.pack.key != key:
        raise PackMismatch(
            f"the templates of {event.name} were made by {event.pack.key}, this server runs {key}",
            metadata={"event": str(event.name), "event_pack": event.pack.key, "server_pack": key},
        )


def _place(
    batch: _Batch, write: PhotoWrite, before: Photo | None, ours: Container[str]
) -> Written | FacePassError:
    """ours: ids of photos that an earlier attempt of this write has stored."""
    if before is None or before.state is PhotoState.REJECTED:
        return Written(batch.add(write, before), duplicate=False)
    if before.sha256 == write.sha256:
        return Written(before, duplicate=write.info.photo_id not in ours)
    if isinstance(write.found, InvalidImage):
        return write.found
    if write.replace:
        return Written(batch.add(write, before), duplicate=False)
    return PhotoIdConflict(
        f"photo id {write.info.photo_id} is taken by a photo with other bytes",
        metadata={"photo": str(batch.event.name.photo(write.info.photo_id))},
    )


async def _store(connection: asyncpg.Connection, batch: _Batch) -> None:
    key = batch.event.name.key
    if batch.replaced:
        numbers = [photo.photo_no for photo in batch.replaced]
        gone = [face.face_no for photo in batch.replaced for face in photo.faces]
        await forget(connection, batch.event, gone)
        await connection.executemany(SQL["delete_photo"], [(key, each) for each in numbers])
        await _record_replaced(connection, batch)
    records = [_photo_record(key, batch.version, photo) for photo in batch.photos]
    await connection.execute(SQL["insert_photos"], records)
    if batch.templates:
        await connection.execute(SQL["insert_faces"], batch.templates)
    indexed = _count(batch.photos, PhotoState.INDEXED)
    await advance(
        connection,
        key,
        photo_numbers=len(batch.photos),
        face_numbers=len(batch.templates),
        indexed=indexed - _count(batch.replaced, PhotoState.INDEXED),
        rejected=len(batch.photos) - indexed - _count(batch.replaced, PhotoState.REJECTED),
        faces=len(batch.templates) - sum(len(photo.faces) for photo in batch.replaced),
        pack_id=batch.pack.pack_id if indexed else None,
    )


async def _record_replaced(connection: asyncpg.Connection, batch: _Batch) -> None:
    name = batch.event.name
    faces = [
        name.photo(photo.info.photo_id).face(face.face_no)
        for photo in batch.replaced
        for face in photo.faces
    ]
    if faces:
        numbers = [photo.photo_no for photo in batch.replaced]
        await record_faces(connection, batch.event, Kind.PHOTO, faces, photo_numbers=numbers)


def _count(photos: Sequence[Photo], state: PhotoState) -> int:
    return sum(photo.state is state for photo in photos)


def _photo_record(key: int, version: int, photo: Photo) -> tuple[object, ...]:
    """One photo as a row of `photo`."""
    info = photo.info
    return (
        key, photo.photo_no, info.photo_id, photo.state.value, photo.sha256, photo.size_bytes,
        photo.width, photo.height, info.file_name, info.source_uri, info.capture_time,
        json.dumps(dict(info.attributes)), faces_to_json(photo.unindexed), photo.rejection_reason,
        photo.rejection_message, version, photo.index_time,
    )  # fmt: skip
