"""Whether what is committed is what insightface finds in the same bytes, with the same pack."""

import asyncio
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

SAME_FACE = 0.5
"""Least overlap (intersection over union) of two boxes of one face."""


def measure(stage: IndexStage, server: Server, baseline: Child) -> list[Figure]:
    """Every photo of every set, through gRPC into the database and back from there."""
    stage.progress.say("parity with insightface")
    files = [file for photos in stage.sets for file in photos.files]
    event = stage.new_event()
    stage.send(server, files, event=event)
    dsn = stage.ground.owner_dsn(DATABASE)
    ours = asyncio.run(indexed_faces(dsn, EventName(event)))
    theirs = baseline.ask(do="faces", photos=files)
    cosines, expected = [], 0
    for file, faces in theirs.items():
        expected += len(faces)
        found = ours.get(f"0-{Path(file).name}")
        cosines += _cosines(faces, found) if found else []
    note = f"{expected} faces of {len(files)} photos; templates as stored, half floats"
    spread = (min(cosines), max(cosines))
    median = float(np.median(cosines))
    matched = len(cosines) / expected
    return [
        Figure(
            "parity_median_cosine", "parity with insightface: median cosine", median, "",
            Bar(">=", 0.9999), spread, note,
        ),
        Figure(
            "parity_matched", "parity with insightface: share of its faces", matched, "",
            Bar(">=", 0.995), note=f"overlap {SAME_FACE} or more",
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
