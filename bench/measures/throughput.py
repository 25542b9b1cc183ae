"""Searches a second with several callers at a time."""

import asyncio
import time
from contextlib import AsyncExitStack
from time import perf_counter

from bench.baselines.b3 import global_graph
from bench.figures import Bar, Figure, of_rounds
from bench.load import searching
from bench.searches import Searches, request_of
from bench.stage import MANY, Stage

_LABEL = "5k"
_CALLERS = 8
_ROUNDS = 5
_SECONDS = 1.5
_EF_SEARCH = 40


def measure(stage: Stage, hot: Searches) -> list[Figure]:
    """Eight callers of one Searcher, and eight connections of B3, by turns."""
    ours, theirs = [], []
    for _ in range(stage.sizes.repeats(_ROUNDS)):
        ours.append(_ours(stage, hot))
        theirs.append(stage.runner.run(_theirs(stage)))
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    what = f"event of {_LABEL} faces, {_CALLERS} callers"
    note = f"B3 with ef_search {_EF_SEARCH}"
    return [
        of_rounds("searches_per_s_ratio", f"{what}: ours / B3", ratios, "x", Bar(">=", 5), note),
        of_rounds("searches_per_s", f"{what}: ours", ours, "/s"),
        of_rounds("searches_per_s_b3", f"{what}: B3", theirs, "/s"),
    ]


def _ours(stage: Stage, hot: Searches) -> float:
    event, (probes, _) = stage.events[_LABEL], stage.views(_LABEL)
    requests = [request_of(event, probe) for probe in probes]
    with searching(hot.server, requests, _CALLERS) as callers:
        time.sleep(_SECONDS)
        return callers.stop().per_s


async def _theirs(stage: Stage) -> float:
    event, (probes, _) = stage.events[_LABEL], stage.views(_LABEL)
    done = 0

    async with AsyncExitStack() as stack:
        dsn = stage.ground.owner_dsn(MANY)
        graphs = [await stack.enter_async_context(global_graph(dsn)) for _ in range(_CALLERS)]
        for graph in graphs:
            await graph.widen(_EF_SEARCH)
        started = perf_counter()

        async def call(number: int) -> None:
            nonlocal done
            while perf_counter() - started < _SECONDS:
                probe = probes[(done + number) % len(probes)]
                await graphs[number].search(event, probe)
                done += 1

        await asyncio.gather(*(call(number) for number in range(_CALLERS)))
        return done / (perf_counter() - started)
