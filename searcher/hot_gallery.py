"""One event's gallery in memory: a block, the version it is at, and one pass for all who wait."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import chain
from time import monotonic
from uuid import UUID

from common.event import Event
from common.template_rows import TemplateRows
from searcher.block import SEGMENT_FACES, Block, Query
from searcher.found_faces import LEAST_BYTES, FoundFaces, RememberedFace

INLINE_FACES = 16_384
"""Up to here a pass takes less time than handing it to a thread, per 512 dimensions."""
_SETTLED_S = 1.0
_MOST_GAPS = 0.25
_FOUND_SHARE = 0.25
"""Room for the faces that were found lately, as a share of what all of them take."""
_THREADS = min(os.cpu_count() or 1, 4)
"""Threads of one pass: a large block takes as much less time as there are idle cores."""

Result = asyncio.Future[list[list[int]]]


class GalleryClosed(Exception):
    """The gallery was dropped from memory: the database has to be asked."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What happened to an event's faces until it was as `event` says."""

    event: Event
    added: Sequence[TemplateRows]
    deleted: Sequence[int]


class HotGallery:
    """All templates of one event at one version; moves forward only."""

    def __init__(self, event: Event, executor: Executor) -> None:
        """A gallery to be filled with the templates of `event`, which must have a pack."""
        assert event.pack is not None
        self._executor = executor
        self._block = Block(event.pack.dimension)
        self._most_inline = INLINE_FACES * 512 // event.pack.dimension
        self._lock = asyncio.Lock()
        self._waiting: list[tuple[Sequence[Query], Result]] = []
        self._pass: asyncio.Task[None] | None = None
        self._closed = False
        self._changed_s = monotonic()
        self.event = event
        """As it was at the gallery's version."""
        self.found = FoundFaces()

    @property
    def key(self) -> int:
        return self.event.name.key

    @property
    def uid(self) -> UUID:
        return self.event.uid

    @property
    def inline(self) -> bool:
        """Whether a pass takes less time than asking anybody else for anything."""
        return self._block.rows <= self._most_inline

    @property
    def settled(self) -> bool:
        """Whether nothing has changed of late: then most likely nothing has since."""
        return monotonic() - self._changed_s > _SETTLED_S

    @property
    def size_bytes(self) -> int:
        return self._block.size_bytes + self.found.size_bytes

    @property
    def faces(self) -> int:
        return self._block.faces

    @property
    def worn(self) -> bool:
        """Whether so many templates were removed that it should be filled anew."""
        rows = self._block.rows
        return rows > SEGMENT_FACES and rows - self._block.faces > _MOST_GAPS * rows

    @property
    def lock(self) -> asyncio.Lock:
        """Held while the gallery is searched or changed."""
        return self._lock

    def extend(self, rows: TemplateRows) -> None:
        """Take templates over while nobody else knows the gallery."""
        self._block.append(rows)
        rows.wipe()

    def close(self) -> None:
        """Let no search begin any more; what is under way ends as it began."""
        self._closed = True

    async def wipe(self) -> None:
        """Overwrite everything once nobody searches it; closes it."""
        self.close()
        async with self._lock:
            self.wipe_now()

    def wipe_now(self) -> None:
        """As `wipe`, while nobody else knows the gallery, or with the lock held."""
        self.close()
        self._block.wipe()
        self.found.wipe()

    def apply(self, changes: Changes) -> None:
        """Move on to a later version. The lock must be held, from before the changes were read."""
        for rows in changes.added:
            self._block.append(rows)
            rows.wipe()
        self._block.remove(changes.deleted)
        for face_no in changes.deleted:
            self.found.forget(face_no)
        self._changed_s = monotonic()
        self.event = changes.event

    def remember(self, faces: Mapping[int, RememberedFace]) -> None:
        """Keep what was read of faces for whoever finds them next."""
        if self._closed:
            return
        room = int(_FOUND_SHARE * self._block.size_bytes)
        self.found.remember(faces, max(room, LEAST_BYTES))

    async def search(self, queries: Sequence[Query]) -> list[list[int]]:
        """Numbers of the faces that each query may be after, as Block.search. Searches that wait
        for a pass share the next one. Raises GalleryClosed."""
        if self._closed:
            raise GalleryClosed
        if self._pass is None and not self._lock.locked() and self.inline:
            return self._block.search(queries)
        result: Result = asyncio.get_running_loop().create_future()
        self._waiting.append((queries, result))
        if self._pass is None:
            self._pass = asyncio.create_task(self._search_waiting())
        return await result

    async def _search_waiting(self) -> None:
        """A task of its own: a caller that goes away leaves neither the others nor the lock."""
        try:
            while self._waiting:
                async with self._lock:
                    together, self._waiting = self._waiting, []
                    await self._search_together(together)
        finally:
            self._pass = None

    async def _search_together(self, together: Sequence[tuple[Sequence[Query], Result]]) -> None:
        queries = [query for some, _ in together for query in some]
        try:
            if self._closed:
                raise GalleryClosed
            found = await self._search_in_threads(queries)
        except Exception as error:
            for _, result in together:
                if not result.done():
                    result.set_exception(error)
            return
        for some, result in together:
            mine, found = found[: len(some)], found[len(some) :]
            if not result.done():
                result.set_result(mine)

    async def _search_in_threads(self, queries: Sequence[Query]) -> list[list[int]]:
        threads = max(1, min(self._block.segments, _THREADS))
        loop, parts = asyncio.get_running_loop(), self._block.parts()
        found = await asyncio.gather(
            *(
                loop.run_in_executor(self._executor, self._block.search_some, queries, parts)
                for _ in range(threads)
            )
        )
        return [list(chain.from_iterable(some)) for some in zip(*found, strict=True)]
