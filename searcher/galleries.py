"""The hot galleries of this process: filled at first use, bounded, the least recently used first
to go."""

import asyncio
import logging
import os
from collections import OrderedDict
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress

import faiss

from common.errors import EventNotFound, FacePassError
from common.event import Event
from common.metrics import Metrics
from common.names import EventName
from searcher.config import GallerySettings
from searcher.hot_gallery import HotGallery
from searcher.seen_events import SeenEvents
from searcher.template_repository import TemplateRepository

log = logging.getLogger(__name__)
NUMBER_BYTES = 4
"""A face's number."""
_FILLS_AT_ONCE = 2
_FORGET_INTERVAL_S = 30.0


class Galleries:
    """Hands out galleries by event; fills them in the background."""

    def __init__(
        self, repository: TemplateRepository, settings: GallerySettings, metrics: Metrics
    ) -> None:
        self._repository = repository
        self._memory_bytes = settings.memory_bytes
        self._metrics = metrics
        # Passes are one thread each: several searches at a time use the cores better than one.
        self._executor = ThreadPoolExecutor(
            os.cpu_count(), "gallery", initializer=faiss.omp_set_num_threads, initargs=(1,)
        )
        self._galleries: OrderedDict[int, HotGallery] = OrderedDict()
        self._fills: dict[int, asyncio.Task[None]] = {}
        self._filling = asyncio.Semaphore(_FILLS_AT_ONCE)
        self._wipes: set[asyncio.Task[None]] = set()
        self._seen = SeenEvents()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve for as long as the context lasts."""
        faiss.omp_set_num_threads(1)
        task = asyncio.create_task(self._forget_deleted())
        try:
            yield
        finally:
            tasks = [task, *self._fills.values()]
            for each in tasks:
                each.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.evict("stopped")
            await self.wiped()
            self._executor.shutdown()

    def get(self, event: Event) -> HotGallery | None:
        """The gallery of this very event, if it is here; else it is on its way, if it fits."""
        gallery = self._galleries.get(event.name.key)
        if gallery is not None and gallery.uid != event.uid:
            self._drop(gallery.key, "deleted")
            gallery = None
        if gallery is None:
            self._metrics.gallery_searches.labels("miss").inc()
            self._begin_fill(event)
            return None
        self._galleries.move_to_end(gallery.key)
        self._metrics.gallery_searches.labels("hit").inc()
        return gallery

    def known(self, name: EventName) -> Event | None:
        """An event as it was at the version of its gallery, or when it was last seen, where
        searching that costs little or will hardly be in vain: the database tells meanwhile, or
        afterwards, whether it still is."""
        gallery = self._galleries.get(name.key)
        if gallery is not None and gallery.event.name == name:
            return gallery.event if gallery.inline or gallery.settled else None
        return self._seen.settled(name)

    def saw(self, event: Event) -> None:
        """A search has found the event to be like this."""
        if event.name.key not in self._galleries:
            self._seen.add(event)

    def holds(self, event: Event) -> bool:
        """Whether the gallery of this very event is here, at whatever version."""
        gallery = self._galleries.get(event.name.key)
        return gallery is not None and gallery.uid == event.uid

    def behind(self, event: Event) -> bool:
        """Whether the gallery of this very event must be brought up to date first."""
        return self.holds(event) and self._galleries[event.name.key].event.version < event.version

    def changed(self, gallery: HotGallery) -> None:
        """Make room after a gallery has grown; it goes itself when it is worn or too large."""
        if self._galleries.get(gallery.key) is not gallery:
            return
        if gallery.worn or gallery.size_bytes > self._memory_bytes:
            self._drop(gallery.key, "worn" if gallery.worn else "memory")
        else:
            self._make_room(0)
        self._measure()

    def lost(self, gallery: HotGallery) -> None:
        """Drop a gallery that can no longer be brought up to date."""
        if self._galleries.get(gallery.key) is gallery:
            self._drop(gallery.key, "behind")

    def evict(self, reason: str) -> None:
        """Drop all galleries; the next search of each event fills it again."""
        for fill in self._fills.values():
            fill.cancel()
        for key in list(self._galleries):
            self._drop(key, reason)

    async def forget(self, key: int) -> None:
        """Hold nothing any more of what was removed from an event before this was called."""
        fill = self._fills.get(key)
        if fill is not None:
            # It may be reading what was there before.
            fill.cancel()
            await asyncio.wait([fill])
        gallery = self._galleries.get(key)
        if gallery is not None and not await self._catch_up(gallery):
            self.lost(gallery)
        await self.wiped()
        await self._repository.rinse()

    async def _catch_up(self, gallery: HotGallery) -> bool:
        """Apply what was committed since; False where the gallery has to go."""
        async with gallery.lock:
            try:
                changes = await self._repository.changes(gallery.event)
            except EventNotFound:
                return False
            if changes is None:
                return False
            if changes.event.version > gallery.event.version:
                gallery.apply(changes)
        self.changed(gallery)
        return True

    async def wiped(self) -> None:
        """Wait until what was dropped is overwritten."""
        if self._wipes:
            await asyncio.wait(set(self._wipes))

    async def settled(self) -> None:
        """Wait for the fills under way."""
        await asyncio.gather(*self._fills.values(), return_exceptions=True)

    def _begin_fill(self, event: Event) -> None:
        key = event.name.key
        if event.pack is None or key in self._fills or _size_bytes(event) > self._memory_bytes:
            return
        task = asyncio.create_task(self._fill(event))
        self._fills[key] = task
        task.add_done_callback(lambda _: self._fills.pop(key, None))

    async def _fill(self, event: Event) -> None:
        try:
            async with self._filling:
                with self._metrics.gallery_fill_seconds.time():
                    gallery = await self._repository.read(event, self._executor)
        except Exception as error:
            # Searches go on in the database, and the next one tries again.
            self._metrics.gallery_fills.labels("failed").inc()
            known = isinstance(error, FacePassError)
            log.warning(
                "gallery not filled",
                extra={"action": "gallery_not_filled"},
                exc_info=None if known else error,
            )
            return
        self._metrics.gallery_fills.labels("filled").inc()
        if gallery.size_bytes <= self._memory_bytes:
            self._make_room(gallery.size_bytes)
            self._galleries[gallery.key] = gallery
        else:
            gallery.wipe_now()
        self._measure()

    def _make_room(self, size_bytes: int) -> None:
        used = sum(gallery.size_bytes for gallery in self._galleries.values())
        while used + size_bytes > self._memory_bytes and self._galleries:
            key, oldest = next(iter(self._galleries.items()))
            used -= oldest.size_bytes
            self._drop(key, "memory")

    def _drop(self, key: int, reason: str) -> None:
        gallery = self._galleries.pop(key)
        gallery.close()
        task = asyncio.create_task(gallery.wipe())
        self._wipes.add(task)
        task.add_done_callback(self._wipes.discard)
        self._metrics.gallery_evictions.labels(reason).inc()
        self._measure()

    def _measure(self) -> None:
        galleries = self._galleries.values()
        self._metrics.gallery_events.set(len(galleries))
        self._metrics.gallery_faces.set(sum(gallery.faces for gallery in galleries))
        self._metrics.gallery_bytes.set(sum(gallery.size_bytes for gallery in galleries))

    async def _forget_deleted(self) -> None:
        """Nobody asks for a deleted event any more: look whose events are gone."""
        while True:
            await asyncio.sleep(_FORGET_INTERVAL_S)
            with suppress(FacePassError):
                await self.forget_deleted()

    async def forget_deleted(self) -> None:
        """Drop the galleries of events that are deleted or have expired."""
        alive = await self._repository.alive([*self._galleries, *self._seen.keys])
        self._seen.keep(alive)
        for key, gallery in list(self._galleries.items()):
            if alive.get(key) != gallery.uid:
                self._drop(key, "deleted")


def _size_bytes(event: Event) -> int:
    assert event.pack is not None
    return event.counts.faces * (event.pack.dimension + NUMBER_BYTES)
