"""Group commit: photos that wait while an event's commit is under way go together into the next."""

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter
from uuid import UUID

from common.errors import DatabaseUnavailable, FacePassError, OutOfSpace
from common.event import Event
from common.metrics import Metrics
from indexer.write_repository import PhotoWrite, WriteRepository, Written

_FINISH_S = 10.0
Outcome = Written | FacePassError


@dataclass(frozen=True, slots=True)
class _Waiting:
    write: PhotoWrite
    future: asyncio.Future[Outcome]


class PhotoWriter:
    """Commits photos, one transaction at a time for each event."""

    def __init__(self, repository: WriteRepository, metrics: Metrics, batch_size: int = 64) -> None:
        self._repository = repository
        self._metrics = metrics
        self._batch_size = batch_size
        self._lanes: dict[UUID, deque[_Waiting]] = {}
        self._commits: set[asyncio.Task[None]] = set()

    async def write(self, event: Event, write: PhotoWrite) -> Outcome:
        """Commit one photo; returns after the commit. Raises what `WriteRepository.write` raises.

        A caller that is cancelled does not undo a commit that is under way.
        """
        waiting = _Waiting(write, asyncio.get_running_loop().create_future())
        lane = self._lanes.get(event.uid)
        if lane is None:
            lane = self._lanes[event.uid] = deque()
            task = asyncio.create_task(self._drain(event, lane))
            self._commits.add(task)
            task.add_done_callback(self._commits.discard)
        lane.append(waiting)
        return await waiting.future

    async def finish(self) -> None:
        """Wait until everything that was handed in is committed, or the database has had its time
        for it. All callers are gone by now, unanswered."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_FINISH_S):
                await asyncio.gather(*self._commits, return_exceptions=True)

    async def _drain(self, event: Event, lane: deque[_Waiting]) -> None:
        try:
            while lane:
                await self._commit(event, _take(lane, self._batch_size))
        finally:
            del self._lanes[event.uid]

    async def _commit(self, event: Event, batch: list[_Waiting]) -> None:
        started = perf_counter()
        try:
            outcomes = await self._repository.write(event, [w.write for w in batch])
        except (DatabaseUnavailable, OutOfSpace) as error:
            _fail(batch, error)
        except Exception as error:
            if len(batch) == 1:
                _fail(batch, error)
                return
            # One photo may have spoilt the transaction for all: each gets one of its own.
            for waiting in batch:
                await self._commit(event, [waiting])
        else:
            self._metrics.commit_seconds.observe(perf_counter() - started)
            self._metrics.commit_photos.observe(len(batch))
            for waiting, outcome in zip(batch, outcomes, strict=True):
                if not waiting.future.done():
                    waiting.future.set_result(outcome)


def _take(lane: deque[_Waiting], most: int) -> list[_Waiting]:
    """The next photos of different ids, in order, without those whose caller is gone."""
    batch: dict[str, _Waiting] = {}
    while lane and len(batch) < most and lane[0].write.info.photo_id not in batch:
        waiting = lane.popleft()
        if not waiting.future.done():
            batch[waiting.write.info.photo_id] = waiting
    return list(batch.values())


def _fail(batch: list[_Waiting], error: Exception) -> None:
    for waiting in batch:
        if not waiting.future.done():
            waiting.future.set_exception(error)
