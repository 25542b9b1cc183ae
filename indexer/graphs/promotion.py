"""Giving an event an own relation with a graph, renewing it, and taking it away again.

What is found at the start decides what is done, so that whoever takes the work over after a crash
only begins again. Between any two steps everything may end, or the event be deleted: what searches
see is right after each of them.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from time import perf_counter

from common.event import Event, Relation
from common.metrics import Metrics
from indexer.config import PromotionSettings
from indexer.graphs.drop_repository import RelationDrops
from indexer.graphs.operation_repository import OperationQueue
from indexer.graphs.operations import Claim, Phase, Progress, Strategy, Superseded
from indexer.graphs.recall import FIRST_EF_SEARCH, RecallWatch
from indexer.graphs.relation_repository import Copy, Measured, RelationRepository

log = logging.getLogger(__name__)
_CLEAN_NUMBERS = 250
_RESTORE_NUMBERS = 250
"""Face numbers of one step under the event's lock, for which its writers wait."""


def wanted_strategy(event: Event, hnsw_min_faces: int) -> Strategy:
    """What the event's size calls for; one that has a graph keeps it down to half of that."""
    least = hnsw_min_faces if event.relation is None else hnsw_min_faces / 2
    return Strategy.HNSW if event.counts.faces >= least else Strategy.EXACT


class Promotion:
    """The steps, in their order."""

    def __init__(
        self, relations: RelationRepository, drops: RelationDrops, recall: RecallWatch,
        queue: OperationQueue, settings: PromotionSettings, metrics: Metrics,
    ) -> None:  # fmt: skip
        self._relations = relations
        self._drops = drops
        self._recall = recall
        self._queue = queue
        self._settings = settings
        self._metrics = metrics

    async def run(self, claim: Claim, progress: Progress) -> Strategy:
        """Bring the event's index to what its size calls for, and up to date.

        Raises EventNotFound when the event is gone, Superseded when it changed underneath or the
        claim is lost: nothing is wrong then, and nothing done.
        """
        await self._tidy(claim, progress)
        event = await self._relations.event(claim)
        strategy = wanted_strategy(event, self._settings.hnsw_min_faces)
        relation = event.relation
        if event.pack is None or strategy is Strategy.EXACT:
            if relation is not None:
                await self._demote(claim, event, progress)
        elif relation is None or relation.build_time < claim.create_time:
            await self._build(claim, event.pack.dimension, progress)
        await self._drops.drop(event.name.key)
        return strategy

    async def _tidy(self, claim: Claim, progress: Progress) -> None:
        """Bring to its end what a server that is gone has begun."""
        event = await self._relations.event(claim)
        if await self._relations.give_up_others(claim):
            await self._clean(claim, event, progress)
        await self._drops.drop(event.name.key)

    async def _build(self, claim: Claim, dimension: int, progress: Progress) -> None:
        copy = await self._copy(claim, dimension, progress)
        async with self._phase(claim, progress, Phase.BUILDING, copy.faces):
            await self._relations.index(copy, self._settings.ef_construction, progress)
        async with self._phase(claim, progress, Phase.MEASURING):
            measured = await self._recall.measure(_searched(copy))
            size = await self._relations.size(copy)
        await self._relations.switch(claim, copy, size, measured)
        _say(copy, measured, size)
        await self._clean(claim, await self._relations.event(claim), progress)

    async def _copy(self, claim: Claim, dimension: int, progress: Progress) -> Copy:
        event = await self._relations.event(claim)
        async with self._phase(claim, progress, Phase.COPYING, event.counts.faces):
            relation = await self._relations.create(claim, dimension)
            return await self._relations.copy(claim, relation)

    async def _clean(self, claim: Claim, event: Event, progress: Progress) -> None:
        start: int | None = 0
        async with self._phase(claim, progress, Phase.CLEANING, event.mark):
            while start is not None:
                progress.done = start
                start = await self._relations.clean(claim, event, start, _CLEAN_NUMBERS)

    async def _demote(self, claim: Claim, event: Event, progress: Progress) -> None:
        async with self._phase(claim, progress, Phase.COPYING, event.mark):
            await self._relations.begin_cleaning(claim, event)
            for start in range(0, event.mark, _RESTORE_NUMBERS):
                progress.done = start
                await self._relations.restore(claim, event, start, _RESTORE_NUMBERS)
            await self._relations.leave(claim, event)
        log.info(
            "event demoted",
            extra={
                "action": "event_demoted",
                "event": str(event.name),
                "faces": event.counts.faces,
            },
        )

    @asynccontextmanager
    async def _phase(
        self, claim: Claim, progress: Progress, phase: Phase, total: int = 0
    ) -> AsyncIterator[None]:
        progress.enter(phase, total)
        if not await self._queue.report(claim, progress):
            raise Superseded
        started = perf_counter()
        yield
        seconds = self._metrics.promotion_seconds.labels(phase.value.lower())
        seconds.observe(perf_counter() - started)


def _searched(copy: Copy) -> Event:
    """The copied event as if the new relation were in use already."""
    event = copy.event
    relation = Relation(
        copy.relation,
        event.next_face_no,
        copy.faces,
        0,
        FIRST_EF_SEARCH,
        None,
        event.update_time,
    )
    return replace(event, relation=relation)


def _say(copy: Copy, measured: Measured, size: int) -> None:
    log.info(
        "event promoted",
        extra={
            "action": "event_promoted",
            "event": str(copy.event.name),
            "faces": copy.faces,
            "bytes": size,
            "ef_search": measured.ef_search,
            "recall": measured.recall,
        },
    )
