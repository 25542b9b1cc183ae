"""Searching one event: probes in, the event's photos of that person out."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from time import perf_counter
from uuid import UUID

from common.audit.note import count
from common.candidate import Candidate, Position
from common.db.events import EventReader
from common.db.pool import Connection, Database, SnapshotNeeded
from common.db.replica import Reads
from common.errors import FaceNotFound, InvalidArgument, PackMismatch
from common.event import Event
from common.metrics import Metrics
from common.names import EventName
from common.quotas.people import PeopleBudget
from common.traces.span import stage
from common.vision.types import Pack
from searcher import block
from searcher.candidates import best_per_photo, nearest, page_of
from searcher.found_faces import Teller
from searcher.galleries import Galleries
from searcher.probes import (
    EmbeddingProbe,
    FaceProbe,
    ImageProbe,
    Probe,
    ProbeReader,
    ProbeReading,
    read_embedding,
)
from searcher.repository import Found, Gallery, Match, Source
from searcher.thresholds import Cut, Thresholds

log = logging.getLogger(__name__)
_BY_WHAT_WAS_KNOWN = (InvalidArgument, FaceNotFound, PackMismatch)
"""What may be said wrongly of an event that is no more as it was: looked at again in a snapshot."""


@dataclass(frozen=True, slots=True)
class After:
    """Where the page before ended, in the answers of that very event."""

    uid: UUID
    position: Position


@dataclass(frozen=True, slots=True)
class Query:
    """What to search for. `exact` rules approximate answers out."""

    event: EventName
    probes: Sequence[Probe]
    cut: Cut
    by_face: bool
    exact: bool
    after: After | None
    page_size: int


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
    source: Source
    probe_ms: float
    gallery_ms: float


class Search:
    """The use case."""

    def __init__(
        self, database: Database, reads: Reads, reader: EventReader, probes: ProbeReader,
        pack: Pack, galleries: Galleries, tell: Teller, people: PeopleBudget, metrics: Metrics,
    ) -> None:  # fmt: skip
        """`reads`: for what memory does not answer."""
        self._database = database
        self._reads = reads
        self._reads_elsewhere = reads is not database
        self._reader = reader
        self._probes = probes
        self._pack = pack
        self._galleries = galleries
        self._tell = tell
        self._people = people
        self._metrics = metrics

    async def search(self, query: Query) -> Answer:
        """Every template of the event at or above the threshold, ordered and paged.

        Images are read before the event's snapshot is taken: a photo that was acknowledged before
        the search began is in it. Raises EventNotFound, FaceNotFound, PackMismatch,
        TemplateKeyMissing, InvalidArgument, InvalidImage, Overloaded, QuotaExceeded,
        ProcessingFailed.
        """
        started = perf_counter()
        images = await self._read_images(query)
        probe_ms = _ms_since(started)
        started = perf_counter()

        async def work(connection: Connection, *, in_snapshot: bool = True) -> Answer:
            with stage("gallery") as span:
                if span is not None:
                    span.tell(snapshot=in_snapshot)
                return await self._answer(connection, query, images, probe_ms, started, in_snapshot)

        try:
            async with self._database.statements(query.event) as connection:
                answer = await work(connection, in_snapshot=False)
        except (SnapshotNeeded, *_BY_WHAT_WAS_KNOWN):
            answer = await self._reads.read(work, query.event)
        usable = sum(reading.embedding is not None for reading in answer.probes)
        count(probes=len(answer.probes), usable=usable, matches=answer.total)
        # The answer goes first: its caller waits, the metrics do not.
        asyncio.get_running_loop().call_soon(self._observe, answer)
        return answer

    async def _answer(
        self,
        connection: Connection,
        query: Query,
        images: Mapping[int, ProbeReading],
        probe_ms: float,
        started: float,
        in_snapshot: bool,
    ) -> Answer:
        event = None if in_snapshot else self._galleries.known(query.event)
        if event is None:
            with stage("event"):
                event = await self._reader.get(connection, query.event)
            self._galleries.saw(event)
        if query.after is not None and query.after.uid != event.uid:
            raise InvalidArgument("page_token", "belongs to an event of this name that was deleted")
        needs_memory = self._reads_elsewhere and not in_snapshot
        if needs_memory and not self._galleries.holds(event):
            raise SnapshotNeeded
        gallery = Gallery(connection, event, self._galleries, self._tell, in_snapshot=in_snapshot)
        readings = [
            images[i] if i in images else await _resolve(gallery, event, i, probe)
            for i, probe in enumerate(query.probes)
        ]
        vectors = [
            event.space.into(reading.embedding)
            for reading in readings
            if reading.embedding is not None
        ]
        pack = event.pack or self._pack
        self._people.spend(event.uid, pack.key, vectors, pack.min_similarity)
        thresholds = Thresholds.of_search(event, pack, query.cut, len(vectors))
        found = await gallery.candidates(
            [block.Query(vector, thresholds.min_similarity) for vector in vectors],
            exact=query.exact,
        )
        candidates = _merged(found, by_face=query.by_face)
        page, more = page_of(
            candidates, query.after.position if query.after else None, query.page_size
        )
        event, matches = await gallery.matches(page)
        return Answer(
            event,
            pack.key,
            thresholds,
            readings,
            matches,
            more,
            len(candidates),
            found.source,
            probe_ms,
            _ms_since(started),
        )

    async def _read_images(self, query: Query) -> dict[int, ProbeReading]:
        """Refuse what cannot be answered before any model runs."""
        images = [
            (i, probe) for i, probe in enumerate(query.probes) if isinstance(probe, ImageProbe)
        ]
        for i, probe in enumerate(query.probes):
            if isinstance(probe, FaceProbe) and probe.name.photo.event != query.event:
                raise InvalidArgument(f"probes[{i}].face", f"is not a face of {query.event}")
        if images:
            with stage("event"):
                async with self._database.statements(query.event) as connection:
                    event = await self._reader.get(connection, query.event)
            self._probes.check_pack(event.pack)
            event.space.require()
        owner = str(query.event)
        return {i: await self._probes.image(probe, f"probes[{i}]", owner) for i, probe in images}

    def _observe(self, answer: Answer) -> None:
        metrics = self._metrics
        metrics.matches.observe(answer.total)
        metrics.searches.labels(answer.source.value).inc()
        metrics.stage_seconds.labels("probe").observe(answer.probe_ms / 1000)
        metrics.stage_seconds.labels("gallery").observe(answer.gallery_ms / 1000)
        for reading in answer.probes:
            metrics.probes.labels("no" if reading.embedding is None else "yes").inc()
        log.debug(
            "searched",
            extra={
                "action": "searched",
                "event": str(answer.event.name),
                "version": answer.event.version,
                "probes": len(answer.probes),
                "matches": answer.total,
                "source": answer.source.value,
                "gallery_ms": round(answer.gallery_ms, 2),
            },
        )


async def _resolve(gallery: Gallery, event: Event, index: int, probe: Probe) -> ProbeReading:
    if isinstance(probe, FaceProbe):
        return ProbeReading(await gallery.template(probe.name))
    assert isinstance(probe, EmbeddingProbe)
    return read_embedding(probe, event.pack, f"probes[{index}].embedding")


def _merged(found: Found, *, by_face: bool) -> list[Candidate]:
    candidates = nearest(chain.from_iterable(found.candidates))
    return candidates if by_face else best_per_photo(candidates)


def _ms_since(started: float) -> float:
    return (perf_counter() - started) * 1000
