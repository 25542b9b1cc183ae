"""Whether what is committed is what insightface finds in the same bytes, with the same pack."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.figures import Bar, Figure
from bench.ground import Server
from bench.index_child import Child
from bench.index_repository import IndexedFaces, indexed_faces
from bench.index_stage import DATABASE, IndexStage
from common.names import EventName

_COSINE, _MATCHED = Bar(">=", 0.9999), Bar(">=", 0.995)
SAME_FACE = 0.5
"""Least overlap (intersection over union) of two boxes of one face."""


def measure(stage: IndexStage, server: Server, baseline: Child) -> list[Figure]:
    """Every photo of every set, through gRPC into the database and back from there.

    Photos of 12 MP apart: decoded smaller, they show the same faces in slightly other pixels.
    """
    stage.progress.say("parity with insightface")
    small = [file for photos in stage.sets if photos is not stage.camera for file in photos.files]
    return [
        *_figures(_compared(stage, server, baseline, small), "", _COSINE, _MATCHED),
        *_figures(_compared(stage, server, baseline, stage.camera.files), "_camera"),
    ]


@dataclass(frozen=True, slots=True)
class _Compared:
    """cosines: of each of insightface's `faces` that is among ours."""

    photos: int
    faces: int
    cosines: Sequence[float]


def _compared(
    stage: IndexStage, server: Server, baseline: Child, files: Sequence[str]
) -> _Compared:
    event = stage.new_event()
    stage.send(server, files, event=event)
    dsn = stage.ground.owner_dsn(DATABASE)
    ours = asyncio.run(indexed_faces(dsn, EventName(event)))
    theirs = baseline.ask(do="faces", photos=list(files))
    cosines: list[float] = []
    for file, faces in theirs.items():
        found = ours.get(f"0-{Path(file).name}")
        cosines += _cosines(faces, found) if found else []
    return _Compared(len(files), sum(map(len, theirs.values())), cosines)


def _figures(
    compared: _Compared, suffix: str, cosine: Bar | None = None, matched: Bar | None = None
) -> list[Figure]:
    cosines, photos = compared.cosines, "photos of 12 MP" if suffix else "photos"
    label = f"parity with insightface, {photos}"
    note = f"{compared.faces} faces of {compared.photos} photos; templates as stored, half floats"
    return [
        Figure(
            f"parity_median_cosine{suffix}", f"{label}: median cosine", float(np.median(cosines)),
            "", cosine, (min(cosines), max(cosines)), note,
        ),
        Figure(
            f"parity_matched{suffix}", f"{label}: share of its faces",
            len(cosines) / compared.faces, "", matched, note=f"overlap {SAME_FACE} or more",
        ),
    ]  # fmt: skip


def _cosines(theirs: list[dict[str, Any]], ours: IndexedFaces) -> list[float]:
    """Of each of their faces that is among ours."""
    cosines = []
    for face in theirs:
        overlaps = overlaps_with(np.array(face["corners"], dtype=np.float32), ours.corners)
        best = int(overlaps.argmax())
        if overlaps[best] >= SAME_FACE:
            stored = ours.embeddings[best]
            cosine = np.dot(stored, face["embedding"]) / np.linalg.norm(stored)
            cosines.append(float(cosine))
    return cosines


def overlaps_with(one: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N,) intersections over unions. one: (4,) left, top, right, bottom; others: (N, 4)."""
    sides = np.minimum(one[2:], others[:, 2:]) - np.maximum(one[:2], others[:, :2])
    common = np.prod(np.maximum(sides, 0), axis=1)
    areas = np.prod(others[:, 2:] - others[:, :2], axis=1)
    union = areas + np.prod(one[2:] - one[:2]) - common
    return np.asarray(common / union, dtype=np.float32)
