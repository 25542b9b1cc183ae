"""Giving an event a graph of its own while it is written to and searched."""

import asyncio
import os
import time
from contextlib import ExitStack
from time import perf_counter

import grpc
from facepass.v1.indexer_pb2 import OptimizeEventRequest
from facepass.v1.indexer_pb2_grpc import IndexerStub
from google.longrunning import operations_pb2, operations_pb2_grpc

from bench.figures import Bar, Figure
from bench.fill_repository import checkpoint
from bench.load import Load, searching
from bench.searches import Searches, request_of
from bench.stage import MANY, Stage
from bench.writer import Writer, writing

_LABEL = "50k"
_WRITE_EVERY_S = 0.02
_SEARCH_EVERY_S = 0.05
_QUIET_S = 5
_LOOK_EVERY_S = 0.25


class Promotions:
    """Asks an Indexer for graphs."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._indexer = IndexerStub(channel)
        self._operations = operations_pb2_grpc.OperationsStub(channel)

    def run(self, stage: Stage, label: str) -> float:
        """Build an event's graph; returns the seconds it took. Raises RuntimeError if it fails."""
        started = perf_counter()
        request = OptimizeEventRequest(name=str(stage.events[label].name))
        operation = self._indexer.OptimizeEvent(request)
        while not operation.done:
            time.sleep(_LOOK_EVERY_S)
            look = operations_pb2.GetOperationRequest(name=operation.name)
            operation = self._operations.GetOperation(look)
        if operation.HasField("error"):
            raise RuntimeError(f"{operation.name} failed: {operation.error.message}")
        return perf_counter() - started


def measure(stage: Stage, promotions: Promotions, hot: Searches, cold: Searches) -> list[Figure]:
    """Longest wait of a writer, and failed searches, while the event gets its graph."""
    event, (probes, _) = stage.events[_LABEL], stage.views(_LABEL)
    requests = [request_of(event, probe) for probe in probes]
    # A commit may wait for the disk to take what was written before all this: this Postgres, unlike
    # others, was never left to itself since it was filled.
    stage.runner.run(checkpoint(stage.ground.superuser_dsn(MANY)))
    os.sync()
    with ExitStack() as stack:
        callers = [
            stack.enter_context(searching(each.server, requests, 1, _SEARCH_EVERY_S))
            for each in (hot, cold)
        ]
        quiet, stalls, seconds = stage.runner.run(_promote(stage, promotions))
        loads = [each.stop() for each in callers]
    return _figures(quiet, stalls, seconds, loads)


def _figures(
    quiet: list[float], stalls: list[float], seconds: float, loads: list[Load]
) -> list[Figure]:
    what = f"graph for an event of {_LABEL} faces under load"
    failed, searches = sum(x.failed for x in loads), sum(x.searches for x in loads)
    waited, before = max(stalls) * 1000, max(quiet) * 1000
    longest = max(load.longest_ms for load in loads)
    bar, none = Bar("<=", 100), Bar("<=", 0)
    worst = stalls.index(max(stalls))
    at_s = sum(stalls[:worst]) + worst * _WRITE_EVERY_S
    commits = f"of {len(stalls):,} commits; {at_s:.0f} s after its beginning"
    many = f"of {searches:,} searches"
    return [
        Figure("stall_ms", f"{what}: longest commit", waited, "ms", bar, note=commits),
        Figure("stall_ms_before", f"{what}: the same before it", before, "ms"),
        Figure("searches_failed", f"{what}: searches failed", failed, bar=none, note=many),
        Figure("longest_search_ms", f"{what}: longest search", longest, "ms"),
        Figure(f"promotion_s_{_LABEL}", f"{what}: it took", seconds, "s"),
    ]


async def _promote(stage: Stage, promotions: Promotions) -> tuple[list[float], list[float], float]:
    """Seconds of each commit before and during it, and of the promotion."""
    name = stage.events[_LABEL].name
    async with writing(stage.ground.server_dsn(MANY), stage.pack, name) as writer:
        quiet = await _write_during(
            stage, writer, asyncio.create_task(asyncio.sleep(stage.sizes.repeats(_QUIET_S)))
        )
        promoting = asyncio.create_task(asyncio.to_thread(promotions.run, stage, _LABEL))
        stalls = await _write_during(stage, writer, promoting)
        return quiet, stalls, await promoting


async def _write_during(
    stage: Stage, writer: Writer, work: "asyncio.Task[None] | asyncio.Task[float]"
) -> list[float]:
    """Commit a photo with one stranger every now and then; seconds of each commit."""
    times: list[float] = []
    templates = stage.population.strangers(1000)
    while not work.done():
        photo = writer.photo(templates[len(times) % len(templates)][None])
        started = perf_counter()
        await writer.write([photo])
        times.append(perf_counter() - started)
        await asyncio.sleep(_WRITE_EVERY_S)
    return times
