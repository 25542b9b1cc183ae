"""Rows of `photo` and `face` as domain values, and back."""

import json
from collections.abc import Iterable, Sequence

import asyncpg
import numpy as np

from common.photo import FoundPhoto, Photo, PhotoInfo, PhotoState, StoredFace
from common.vision.types import Box, Detection, Face, FaceReason, Quality


def face_from_row(row: asyncpg.Record) -> StoredFace:
    """A row of `face` without its template."""
    landmarks = np.array(row["landmarks"], dtype=np.float32).reshape(5, 2)
    return StoredFace(
        row["face_no"],
        row["photo_no"],
        Detection(
            Box(row["x"], row["y"], row["width"], row["height"]), landmarks, row["detection_score"]
        ),
        Quality(
            row["quality_score"],
            row["sharpness"],
            row["brightness"],
            row["yaw"],
            row["pitch"],
            row["roll"],
        ),
    )


def found_photo_from_row(row: asyncpg.Record) -> FoundPhoto:
    """A row of a query that has a photo's columns."""
    return FoundPhoto(_info(row), row["photo_width"], row["photo_height"])


def _info(row: asyncpg.Record) -> PhotoInfo:
    return PhotoInfo(
        row["photo_id"],
        row["file_name"],
        row["source_uri"],
        row["capture_time"],
        json.loads(row["attributes"]),
    )


def photo_from_row(row: asyncpg.Record, faces: Iterable[StoredFace] = ()) -> Photo:
    """A row of `photo` with its faces, largest first."""
    return Photo(
        photo_no=row["photo_no"],
        info=_info(row),
        state=PhotoState(row["state"]),
        sha256=row["sha256"],
        size_bytes=row["size_bytes"],
        width=row["width"],
        height=row["height"],
        faces=tuple(sorted(faces, key=lambda f: (-f.detection.box.area, f.face_no))),
        unindexed=faces_from_json(row["unindexed"]),
        rejection_reason=row["rejection_reason"],
        rejection_message=row["rejection_message"],
        index_time=row["index_time"],
    )


def faces_to_json(faces: Sequence[Face]) -> str:
    """Faces without a template, for `photo.unindexed`."""
    return json.dumps([_face_to_list(face) for face in faces], separators=(",", ":"))


def _face_to_list(face: Face) -> list[object]:
    """Unrounded, so that a photo read back equals the first answer for it."""
    box = face.detection.box
    landmarks = face.detection.landmarks.reshape(-1).tolist()
    return [
        [float(v) for v in (box.x, box.y, box.width, box.height)],
        [None if np.isnan(value) else value for value in landmarks],
        float(face.detection.score),
        [float(v) for v in _quality_values(face.quality)],
        [reason.value for reason in face.reasons],
    ]


def faces_from_json(text: str) -> tuple[Face, ...]:
    """What `faces_to_json` wrote."""
    faces = []
    for box, landmarks, score, quality, reasons in json.loads(text):
        points = np.array([np.nan if v is None else v for v in landmarks], dtype=np.float32)
        detection = Detection(Box(*box), points.reshape(5, 2), score)
        faces.append(Face(detection, Quality(*quality), tuple(FaceReason(r) for r in reasons)))
    return tuple(faces)


def _quality_values(quality: Quality) -> tuple[float, ...]:
    return (
        quality.score,
        quality.sharpness,
        quality.brightness,
        quality.yaw,
        quality.pitch,
        quality.roll,
    )


def face_record(
    event_id: int, pack_id: int, face_no: int, photo_no: int, version: int, face: Face
) -> tuple[object, ...]:
    """One face with its template as a row of `face`."""
    box = face.detection.box
    return (
        event_id,
        pack_id,
        face_no,
        photo_no,
        version,
        box.x,
        box.y,
        box.width,
        box.height,
        face.detection.score,
        *_quality_values(face.quality),
        face.detection.landmarks.reshape(-1).tolist(),
        face.embedding,
    )
