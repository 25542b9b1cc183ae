"""Searching one event: probes in, the event's photos of that person out."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

from common.candidate import Candidate, Position
from common.db.events import EventReader
from common.db.pool import Database
from common.errors import InvalidArgument
from common.event import Event
from common.metrics import Metrics
from common.names import EventName
from common.photo import Photo, StoredFace
from common.vision.types import Pack
from searcher.candidates import best_per_photo, nearest, page_of
from searcher.probes import (
    EmbeddingProbe,
    FaceProbe,
    ImageProbe,
    Probe,
    ProbeReader,
    ProbeReading,
    read_embedding,
)
from searcher.repository import Gallery

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Query:
    """What to search for. `min_similarity` None means the event's setting, or else the pack's
    default."""

    event: EventName
    probes: Sequence[Probe]
    min_similarity: float | None
    by_face: bool
    after: Position | None
    page_size: int


@dataclass(frozen=True, slots=True)
class Match:
    """One entry of the answer."""

    candidate: Candidate
    photo: Photo
    face: StoredFace


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From `min_similarity` on a match is POSSIBLE, from `confident_similarity` on CONFIDENT."""

    min_similarity: float
    confident_similarity: float


@dataclass(frozen=True, slots=True)
class Answer:
    """One page of a search's answer, and what it speaks for."""

    event: Event
    pack: str
    thresholds: Thresholds
    probes: Sequence[ProbeReading]
    matches: Sequence[Match]
    more: bool
    total: int
    probe_ms: float
    gallery_ms: float


class Search:
    """The use case."""

    def __init__(
        self, database: Database, reader: EventReader, probes: ProbeReader, pack: Pack,
        metrics: Metrics,
    ) -> None:  # fmt: skip
        self._database = database
        self._reader = reader
        self._probes = probes
        self._pack = pack
        self._metrics = metrics

    async def search(self, query: Query) -> Answer:
        """Every template of the event at or above the threshold, ordered and paged.

        Images are read before the event's snapshot is taken: a photo that was acknowledged before
        the search began is in it. Raises EventNotFound, FaceNotFound, PackMismatch,
        InvalidArgument, InvalidImage, Overloaded, ProcessingFailed.
        """
        await self._check(query)
        started = perf_counter()
        images = await self._read_images(query.probes)
        probe_ms = _ms_since(started)
        started = perf_counter()
        async with self._database.snapshot() as connection:
            event = await self._reader.get(connection, query.event)
            gallery = Gallery(connection, event)
            readings = [
                images[i] if i in images else await self._resolve(gallery, event, i, probe)
                for i, probe in enumerate(query.probes)
            ]
            thresholds = self._thresholds(event, query.min_similarity)
            found = await _candidates(gallery, readings, thresholds.min_similarity)
            if not query.by_face:
                found = best_per_photo(found)
            page, more = page_of(found, query.after, query.page_size)
            matches = await _matches(gallery, page)
        answer = Answer(
            event,
            event.pack.key if event.pack else self._pack.key,
            thresholds,
            readings,
            matches,
            more,
            len(found),
            probe_ms,
            _ms_since(started),
        )
        self._observe(answer)
        return answer

    async def _check(self, query: Query) -> None:
        """Refuse what cannot be answered before any model runs."""
        async with self._database.snapshot() as connection:
            event = await self._reader.get(connection, query.event)
        for i, probe in enumerate(query.probes):
            field = f"probes[{i}]"
            if isinstance(probe, ImageProbe):
                self._probes.check_pack(event.pack)
            elif isinstance(probe, FaceProbe) and probe.name.photo.event != query.event:
                raise InvalidArgument(f"{field}.face", f"is not a face of {query.event}")

    async def _read_images(self, probes: Sequence[Probe]) -> dict[int, ProbeReading]:
        return {
            i: await self._probes.image(probe, f"probes[{i}]")
            for i, probe in enumerate(probes)
            if isinstance(probe, ImageProbe)
        }

    async def _resolve(
        self, gallery: Gallery, event: Event, index: int, probe: Probe
    ) -> ProbeReading:
        if isinstance(probe, FaceProbe):
            return ProbeReading(await gallery.template(probe.name))
        assert isinstance(probe, EmbeddingProbe)
        return read_embedding(probe, event.pack, f"probes[{index}].embedding")

    def _thresholds(self, event: Event, asked: float | None) -> Thresholds:
        pack = event.pack or self._pack
        lowest = asked or event.fields.settings.min_similarity or pack.min_similarity
        return Thresholds(lowest, max(lowest, pack.confident_similarity))

    def _observe(self, answer: Answer) -> None:
        metrics = self._metrics
        metrics.matches.observe(answer.total)
        metrics.stage_seconds.labels("probe").observe(answer.probe_ms / 1000)
        metrics.stage_seconds.labels("gallery").observe(answer.gallery_ms / 1000)
        for reading in answer.probes:
            metrics.probes.labels("no" if reading.embedding is None else "yes").inc()
        log.info(
            "searched",
            extra={
                "action": "searched",
                "event": str(answer.event.name),
                "version": answer.event.version,
                "probes": len(answer.probes),
                "matches": answer.total,
                "gallery_ms": round(answer.gallery_ms, 2),
            },
        )


async def _candidates(
    gallery: Gallery, readings: Sequence[ProbeReading], min_similarity: float
) -> list[Candidate]:
    found: list[Candidate] = []
    for reading in readings:
        if reading.embedding is not None:
            found += await gallery.candidates(reading.embedding, min_similarity)
    return nearest(found)


async def _matches(gallery: Gallery, page: Sequence[Candidate]) -> list[Match]:
    if not page:
        return []
    photos = await gallery.photos([candidate.photo_no for candidate in page])
    faces = await gallery.faces([candidate.face_no for candidate in page])
    return [Match(c, photos[c.photo_no], faces[c.face_no]) for c in page]


def _ms_since(started: float) -> float:
    return (perf_counter() - started) * 1000
