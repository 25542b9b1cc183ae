"""One event's gallery, in memory or in the database, at one version of the event."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum
from itertools import chain

import asyncpg
import numpy as np

from common.candidate import Candidate, Comparable, similar_enough
from common.db.faces import EventFaces
from common.db.pool import SnapshotNeeded
from common.db.sql import load_queries
from common.errors import FaceNotFound
from common.event import Event, EventCounts
from common.names import FaceName
from common.traces.span import stage
from common.vision.types import EmbeddingVector
from searcher.block import Query
from searcher.found_faces import RememberedFace, Teller
from searcher.galleries import Galleries
from searcher.hot_gallery import GalleryClosed, HotGallery
from searcher.template_repository import read_changes

SQL = load_queries("searcher")
_TOLD_AT_ONCE = 128
"""Up to so many faces are read with all that is told of them, in one statement."""
_COMPARED_AT_ONCE = 512
"""Templates of one statement."""


class Source(Enum):
    """Where candidates came from. Values are the wire's, less the prefix."""

    UNSPECIFIED = "UNSPECIFIED"
    MEMORY = "MEMORY"
    SCAN = "SCAN"
    GRAPH = "GRAPH"


@dataclass(frozen=True, slots=True)
class Match:
    """One entry of an answer; `told` is what its teller made of the face and its photo."""

    candidate: Candidate
    told: bytes


@dataclass(frozen=True, slots=True)
class Found:
    """The candidates of each query, in no order, and where they came from."""

    candidates: Sequence[Sequence[Candidate]]
    source: Source


class Gallery:
    """Finds candidates in memory where the event is hot, else in the database."""

    def __init__(
        self,
        connection: asyncpg.Connection,
        event: Event,
        galleries: Galleries,
        tell: Teller,
        *,
        in_snapshot: bool,
    ) -> None:
        """Without a snapshot, memory must be up to date, and the event must stay as it is until
        its matches are read: else SnapshotNeeded is raised."""
        self._connection = connection
        self._event = event
        self._galleries = galleries
        self._tell = tell
        self._in_snapshot = in_snapshot
        self._searched: HotGallery | None = None
        self._known: dict[int, RememberedFace] = {}
        """Faces that were found, as far as they were read or remembered."""
        self._read: dict[int, RememberedFace] = {}
        """Those that were read."""
        self._counts: EventCounts | None = None
        """The event's, where it was seen since the search began to be as it is here."""
        self._faces = EventFaces(connection, event)

    async def candidates(self, queries: Sequence[Query], *, exact: bool) -> Found:
        """Every template of the event that is similar enough to a probe in the event's own space;
        `exact` rules the graph out."""
        if self._event.pack is None or not queries:
            return Found([], Source.UNSPECIFIED)
        hot = await self._hot()
        if hot is not None:
            with suppress(GalleryClosed), stage("memory") as span:
                if span is not None:
                    span.tell(faces=hot.faces)
                possible = await self._in_memory(hot, queries)
                self._searched = hot
                return Found(await self._compare(hot, queries, possible), Source.MEMORY)
        found, source = [], Source.SCAN
        for query in queries:
            nearest = None if exact else await self._by_graph(query)
            if nearest is not None:
                source = Source.GRAPH
            found.append(nearest if nearest is not None else await self._by_scan(query))
        return Found(found, source)

    async def _in_memory(self, hot: HotGallery, queries: Sequence[Query]) -> list[list[int]]:
        """Numbers of the faces that each query may be after, by a pass; one that takes a while,
        while the database tells of the event."""
        if self._in_snapshot or hot.inline:
            return await hot.search(queries)
        confirmed, found = await asyncio.gather(
            self._faces.with_photos([]), hot.search(queries), return_exceptions=True
        )
        for outcome in (confirmed, found):
            if isinstance(outcome, BaseException):
                raise outcome
        if hot.event.version != self._event.version:
            raise SnapshotNeeded
        assert not isinstance(confirmed, BaseException) and not isinstance(found, BaseException)
        self._counts = confirmed[0]
        return found

    async def _hot(self) -> HotGallery | None:
        if not self._in_snapshot and self._galleries.behind(self._event):
            raise SnapshotNeeded
        hot = self._galleries.get(self._event)
        return hot if hot is not None and await self._bring_up_to_date(hot) else None

    async def _bring_up_to_date(self, hot: HotGallery) -> bool:
        """Apply what was committed since; False where that is no longer known."""
        event = self._event
        if hot.event.version < event.version:
            async with hot.lock:
                if hot.event.version < event.tombstone_floor:
                    self._galleries.lost(hot)
                    return False
                if hot.event.version < event.version:
                    with stage("changes"):
                        hot.apply(await read_changes(self._connection, event, hot.event))
            self._galleries.changed(hot)
        elif hot.event.version == event.version:
            hot.event = event  # its own fields may have changed
        return True

    async def _compare(
        self, hot: HotGallery, queries: Sequence[Query], possible: Sequence[Sequence[int]]
    ) -> Sequence[Sequence[Candidate]]:
        """The candidates of each query among the faces that it may be after, by their templates:
        those that are remembered, then those of the database.

        Without faces that came after the snapshot: another search may have brought them in.
        """
        wanted = [{n for n in some if n < self._event.next_face_no} for some in possible]
        found: list[list[Candidate]] = [[] for _ in queries]

        def compare(faces: Iterable[Comparable]) -> None:
            faces = list(faces)
            for query, numbers, candidates in zip(queries, wanted, found, strict=True):
                mine = [face for face in faces if face[0] in numbers]
                candidates += similar_enough(query.probe, query.min_similarity, mine)

        everybody = set(chain.from_iterable(wanted))
        remembered = ((number, hot.found.get(number)) for number in everybody)
        self._known = {number: face for number, face in remembered if face is not None}
        # At once: what is remembered may be forgotten, and is overwritten then.
        compare(_comparable(self._known))
        missing = [number for number in everybody if number not in self._known]
        if len(missing) > _TOLD_AT_ONCE:
            for start in range(0, len(missing), _COMPARED_AT_ONCE):
                some = missing[start : start + _COMPARED_AT_ONCE]
                templates = await self._faces.templates_by_no(some)
                compare((number, *templates[number]) for number in templates)
            self._counts = None  # what was seen of the event was seen before these
        elif missing:
            await self._read_faces(missing)
            compare(_comparable(self._read))
        return found

    async def _read_faces(self, numbers: Sequence[int]) -> None:
        """Faces with what is told of them, and the event's counts."""
        with stage("matches") as span:
            if span is not None:
                span.tell(rows=len(numbers))
            self._counts, found = await self._faces.with_photos(numbers)
        self._read |= {
            number: RememberedFace(
                each.face.photo_no,
                each.template.astype(np.float16),
                self._tell(self._event.name, each.face, each.photo),
            )
            for number, each in found.items()
        }
        self._known |= self._read

    async def _by_graph(self, query: Query) -> list[Candidate] | None:
        if self._event.relation is None:
            return None
        with stage("graph"):
            return await self._faces.nearest(
                query.probe, query.min_similarity, self._event.relation.ef_search
            )

    async def _by_scan(self, query: Query) -> list[Candidate]:
        with stage("scan"):
            return await self._faces.exact(query.probe, query.min_similarity)

    async def template(self, name: FaceName) -> EmbeddingVector:
        """The embedding of an indexed face, as its engine made it. Raises FaceNotFound,
        TemplateKeyMissing."""
        with stage("template"):
            return await read_template(self._connection, self._event, name)

    async def matches(self, page: Sequence[Candidate]) -> tuple[Event, list[Match]]:
        """Candidates with what is told of them, and the event that all of this was read of."""
        missing = [each.face_no for each in page if each.face_no not in self._known]
        if missing or self._counts is None:
            await self._read_faces(missing)
        assert self._counts is not None
        hot = self._searched
        if hot is not None and hot.event.version == self._event.version:
            hot.remember(self._read)
        event = replace(self._event, counts=self._counts)
        return event, [Match(each, self._known[each.face_no].told) for each in page]


def _comparable(faces: dict[int, RememberedFace]) -> Iterator[Comparable]:
    return ((number, face.photo_no, face.template) for number, face in faces.items())


async def read_template(
    connection: asyncpg.Connection, event: Event, name: FaceName
) -> EmbeddingVector:
    """The embedding of an indexed face, as its engine made it. Raises FaceNotFound,
    TemplateKeyMissing."""
    photo_no = await connection.fetchval(SQL["photo_no"], event.name.key, name.photo.photo)
    found = await EventFaces(connection, event).template(name.face_no)
    if found is None or found[0] != photo_no:
        raise FaceNotFound(f"there is no face {name}", metadata={"face": str(name)})
    return event.space.out_of(found[1])
