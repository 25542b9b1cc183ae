"""Fills FacePass' tables with events, as if they had been indexed long ago."""

from collections.abc import Collection, Mapping
from dataclasses import replace

import asyncpg
import numpy as np

from bench.rows import Column, constant, copy_stream, halfvec, real_array
from bench.templates import DIMENSION, FACES_PER_PHOTO, THRESHOLD, Gallery, Templates
from common.db.events import PackRegistry
from common.db.sql import load_queries
from common.event import StoredPack
from common.vision.fake.engine import FakeEngine

SQL = load_queries("bench")
PACK = replace(
    FakeEngine().pack,
    key="bench-512@00000000",
    dimension=DIMENSION,
    min_similarity=THRESHOLD,
    confident_similarity=0.5,
)
_AT_A_TIME = 50_000
_CHECKPOINT_TIMEOUT_S = 600
_REALS = (
    "x", "y", "width", "height", "detection_score", "quality_score", "sharpness", "brightness",
    "yaw", "pitch", "roll",
)  # fmt: skip


async def fill(dsn: str, events: Collection[Gallery], templates: Templates) -> StoredPack:
    """Make the pack and the events with their photos and faces; returns the pack's row."""
    connection = await asyncpg.connect(dsn)
    try:
        pack = await PackRegistry().register(connection, PACK)
        await _copy(connection, "event", _events(events, pack.pack_id))
        await _copy(connection, "photo", _photos(events))
        faces = numbered(events)
        for start in range(0, len(templates), _AT_A_TIME):
            part = {name: each[start : start + _AT_A_TIME] for name, each in faces.items()}
            rows = _faces(part, templates[start : start + _AT_A_TIME], pack.pack_id)
            await _copy(connection, "face", rows)
        await connection.execute(SQL["analyze"])
        return pack
    finally:
        await connection.close()


async def _copy(connection: asyncpg.Connection, table: str, columns: Mapping[str, Column]) -> None:
    await connection.copy_to_table(
        table, source=copy_stream(columns), columns=list(columns), format="binary"
    )


def numbered(events: Collection[Gallery]) -> dict[str, Column]:
    """Event and number within it of every face, in the order of the templates."""
    sizes = [event.size for event in events]
    keys = np.array([event.name.key for event in events], dtype=">i8")
    numbers = np.concatenate([np.arange(1, size + 1) for size in sizes])
    return {"event_id": np.repeat(keys, sizes), "face_no": numbers.astype(">i4")}


def _events(events: Collection[Gallery], pack_id: int) -> dict[str, Column]:
    count = len(events)
    photos = np.array([event.photos for event in events], dtype=">i4")
    faces = np.array([event.size for event in events], dtype=">i4")
    return {
        "event_id": np.array([event.name.key for event in events], dtype=">i8"),
        "name": np.array([event.name.event.encode() for event in events]),
        "uid": _random_bytes(count, 16),
        "display_name": constant(b"", "", count),
        "location": constant(b"", "", count),
        "quality_filter": constant(b"AUTO", "S4", count),
        "detail": constant(b"STANDARD", "S8", count),
        "pack_id": constant(pack_id, ">i4", count),
        "version": constant(1, ">i8", count),
        "next_photo_no": photos + 1,
        "next_face_no": faces + 1,
        "photos_indexed": photos,
        "faces": faces,
    }


def _photos(events: Collection[Gallery]) -> dict[str, Column]:
    photos = [event.photos for event in events]
    keys = np.array([event.name.key for event in events], dtype=">i8")
    numbers = np.concatenate([np.arange(1, each + 1) for each in photos]).astype(">i4")
    count = len(numbers)
    ids = np.array([f"IMG_{number:06d}.jpg".encode() for number in numbers.tolist()])
    return {
        "event_id": np.repeat(keys, photos),
        "photo_no": numbers,
        "photo_id": ids,
        "state": constant(b"INDEXED", "S7", count),
        "sha256": _random_bytes(count, 32),
        "size_bytes": constant(4_000_000, ">i8", count),
        "width": constant(6000, ">i4", count),
        "height": constant(4000, ">i4", count),
        "file_name": ids,
        "source_uri": constant(b"", "", count),
        "attributes": constant(b"\x01{}", "S3", count),
        "unindexed": constant(b"\x01[]", "S3", count),
        "rejection_reason": constant(b"", "", count),
        "rejection_message": constant(b"", "", count),
        "version": constant(1, ">i8", count),
    }


def _faces(numbers: Mapping[str, Column], templates: Templates, pack_id: int) -> dict[str, Column]:
    count = len(templates)
    reals = np.random.default_rng(0).random((count, len(_REALS) + 10), dtype=np.float32)
    return {
        **numbers,
        "pack_id": constant(pack_id, ">i4", count),
        "photo_no": ((numbers["face_no"] - 1) // FACES_PER_PHOTO + 1).astype(">i4"),
        "version": constant(1, ">i8", count),
        **{name: reals[:, i].astype(">f4") for i, name in enumerate(_REALS)},
        "landmarks": real_array(reals[:, len(_REALS) :]),
        "embedding": halfvec(templates),
    }


def _random_bytes(count: int, length: int) -> Column:
    return np.random.default_rng(1).integers(256, size=(count, length), dtype=">u1")


async def checkpoint(superuser_dsn: str) -> None:
    """Have a server write all that it holds to its files, as it does every few minutes where nobody
    measures."""
    connection = await asyncpg.connect(superuser_dsn)
    try:
        await connection.execute("CHECKPOINT", timeout=_CHECKPOINT_TIMEOUT_S)
    finally:
        await connection.close()
