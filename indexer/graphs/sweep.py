"""Comparing every face of an own relation with many probes, in one pass over it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.db.faces import EventFaces
from common.event import Event
from common.similarity import SLACK, at_least, similarities
from common.template_rows import TemplateRows

_BLOCK_NUMBERS = 4096


@dataclass(frozen=True, slots=True)
class Hit:
    """Faces that one probe is similar to: their numbers (N,) and templates (N, D), half precision.
    `probe`: which of them, by its place."""

    probe: int
    numbers: NDArray[np.int32]
    templates: NDArray[np.float16]


async def sweep(
    faces: EventFaces, event: Event, probes: NDArray[np.float32], lowest: float
) -> AsyncIterator[Hit]:
    """Every face of the event's own relation at or above `lowest`, for each of the probes (P, D);
    many hits of a probe, in the order of their numbers."""
    assert event.relation is not None
    mark = event.relation.mark
    for start in range(0, mark, _BLOCK_NUMBERS):
        blocks: list[TemplateRows] = []
        end = min(start + _BLOCK_NUMBERS, mark)
        await faces.templates(start, blocks.append, _BLOCK_NUMBERS, end)
        for block in blocks:
            # Elsewhere, since calls are waiting.
            for hit in await asyncio.to_thread(_hits, block, probes, lowest):
                yield hit
            block.wipe()


def _hits(block: TemplateRows, probes: NDArray[np.float32], lowest: float) -> list[Hit]:
    near = block.templates.astype(np.float32) @ probes.T >= lowest - SLACK
    hits = []
    for probe in np.flatnonzero(near.any(axis=0)).tolist():
        rows = np.flatnonzero(near[:, probe])
        values = similarities(probes[probe], block.templates[rows])
        rows = rows[at_least(values, lowest)]
        if len(rows):
            hits.append(Hit(probe, block.face_no[rows], block.templates[rows]))
    return hits
