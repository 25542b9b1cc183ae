"""How much of what there is a graph finds, and how widely it must be searched for enough of it."""

import logging
import random
from collections.abc import Sequence
from statistics import fmean

from common.db.faces import MAX_EF_SEARCH
from common.event import Event
from common.metrics import Metrics
from indexer.graphs.recall_repository import Probe, RecallRepository
from indexer.graphs.relation_repository import Measured

log = logging.getLogger(__name__)
FIRST_EF_SEARCH = 40
FEWEST_PROBES, MOST_PROBES = 200, 1000
_FACES_A_PROBE = 50
"""What a graph misses are mostly whole people, one in hundreds: few probes would not tell."""
_LEAST_STEP = 25
_IN_VAIN = 3
_NEXT_TO_NOTHING = 0.0005
_TRIES = 2 * MOST_PROBES
"""Face numbers that are looked up to find so many probes; deleted faces leave gaps."""


class RecallWatch:
    """Measures graphs with views of people of their own event, at the event's own threshold."""

    def __init__(
        self, repository: RecallRepository, metrics: Metrics, target_recall: float
    ) -> None:
        self._repository = repository
        self._metrics = metrics
        metrics.index_recall_target.set(target_recall)
        self._target = target_recall
        self._aim = 1 - (1 - target_recall) / 2
        """What is aimed at where something must be chosen: the probes are a sample, and others
        may find less."""

    async def measure(self, event: Event) -> Measured:
        """Find the ef_search, from the relation's own on, that a new graph is to be searched with.
        Raises Superseded when the relation is gone."""
        return await self._measure(event, self._aim)

    async def _measure(self, event: Event, least: float) -> Measured:
        assert event.relation is not None
        ef_search, mark = event.relation.ef_search, event.relation.mark
        numbers = random.sample(range(mark), min(mark, _TRIES))
        count = min(max(mark // _FACES_A_PROBE, FEWEST_PROBES), MOST_PROBES)
        shares = dict.fromkeys(await self._repository.probes(event, numbers, count), 0.0)
        tried: list[Measured] = []
        while True:
            await self._look(event, shares, ef_search)
            # Faces were drawn, so people of many came more often: each counts by one.
            recall = fmean(shares.values()) if shares else None
            tried.append(Measured(ef_search, recall))
            if recall is None or recall >= least or ef_search >= MAX_EF_SEARCH or in_vain(tried):
                break
            least = self._aim
            ef_search = min(max(ef_search * 5 // 4, ef_search + _LEAST_STEP), MAX_EF_SEARCH)
            _say("ef_search_raised", event, ef_search, recall)
        chosen = enough(tried)
        recall = chosen.recall
        if recall is not None:
            self._metrics.index_recall.observe(recall)
            if recall < self._target:
                self._metrics.index_recall_below_target.inc()
                _say("recall_below_target", event, chosen.ef_search, recall)
        return chosen

    async def remeasure(self, event: Event) -> None:
        """Measure a graph that is in use, and keep what came of it."""
        measured = await self._measure(event, self._target)
        await self._repository.keep(event, measured.ef_search, measured.recall)

    async def _look(self, event: Event, shares: dict[Probe, float], ef_search: int) -> None:
        """Measure again what share of what there is is found, where it is not yet all: a wider
        search passes wherever a narrower one did."""
        reach = await self._repository.reach(event, ef_search)
        for probe in [probe for probe, share in shares.items() if share < 1]:
            look = await self._repository.look(event, probe, ef_search, reach)
            self._metrics.index_under_returns.inc(look.under_returned)
            shares[probe] = look.found / look.wanted


def in_vain(tried: Sequence[Measured]) -> bool:
    """Whether the last widenings found next to nothing: what no path leads to is not found by
    searching more widely."""
    if len(tried) <= _IN_VAIN:
        return False
    return (tried[-1].recall or 0) - (tried[-1 - _IN_VAIN].recall or 0) < _NEXT_TO_NOTHING


def enough(tried: Sequence[Measured]) -> Measured:
    """The narrowest that found as much as any, or next to nothing less."""
    most = max(each.recall or 0 for each in tried)
    return next(each for each in tried if (each.recall or 0) > most - _NEXT_TO_NOTHING)


def _say(action: str, event: Event, ef_search: int, recall: float) -> None:
    log.warning(
        action.replace("_", " "),
        extra={
            "action": action,
            "event": str(event.name),
            "ef_search": ef_search,
            "recall": round(recall, 4),
        },
    )
