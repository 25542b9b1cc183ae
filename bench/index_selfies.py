"""Searching by selfie while photos are indexed at full speed, all in one standalone."""

import statistics
from collections.abc import Callable, Sequence
from itertools import cycle, islice

import grpc
from facepass.v1 import searcher_pb2 as pb
from facepass.v1.searcher_pb2_grpc import SearcherStub

from bench.figures import Bar, Figure, Rounds, median_time, milliseconds, ratio
from bench.ground import Server
from bench.index_photos import PhotoSet, selfies
from bench.index_stage import DATABASE, IndexStage

_ROUNDS = 5
_SEARCHES = 16


def measure(stage: IndexStage) -> list[Figure]:
    """Searches with the same selfies by turns, nothing else going on and while photos come in."""
    stage.progress.say("selfies while photos are indexed")
    indexer, searcher = stage.ground.serve_standalone(DATABASE, **stage.engine())
    event = stage.new_event()
    stage.send(indexer, stage.demo.files, event=event)
    note = "one standalone, one pool of workers, one more for selfies"
    with searcher.channel() as channel:
        searches = _searches(channel, event, stage.sizes.count(_SEARCHES, least=4))
        idle, busy = _by_turns(stage, indexer, searches, stage.demo)
        idle_large, busy_large = _by_turns(stage, indexer, searches, stage.camera)
    label = "selfie search p50, indexing / idle"
    return [
        ratio("selfie_p50_busy_vs_idle", f"{label}: demo's photos", busy, idle, Bar("<=", 2), note),
        ratio("selfie_p50_busy_vs_idle_camera", f"{label}: 12 MP", busy_large, idle_large),
        milliseconds("selfie_ms_idle", "selfie search p50, idle", idle),
        milliseconds("selfie_ms_busy", "selfie search p50, indexing the demo's photos", busy),
        milliseconds("selfie_ms_busy_camera", "selfie search p50, indexing 12 MP", busy_large),
    ]


def _by_turns(
    stage: IndexStage,
    indexer: Server,
    searches: Sequence[Callable[[], object]],
    photos: PhotoSet,
) -> tuple[Rounds, Rounds]:
    """Medians of each round, idle and while those photos are indexed."""
    idle, busy = [], []
    for _ in range(stage.sizes.repeats(_ROUNDS)):
        idle.append(median_time(searches))
        with stage.sending(indexer, photos.files):
            busy.append(median_time(searches))
    return Rounds(idle), Rounds(busy)


def _searches(channel: grpc.Channel, event: str, count: int) -> list[Callable[[], object]]:
    """Searches of the guests' selfies, one after the other; each has found its guest before."""
    stub = SearcherStub(channel)
    requests = [
        pb.SearchRequest(event=f"events/{event}", probes=[pb.Probe(image=selfie)])
        for selfie in selfies()
    ]
    matches = statistics.mean(len(stub.Search(request).matches) for request in requests)
    if not matches:
        raise RuntimeError("no selfie finds anything")

    def search(request: pb.SearchRequest) -> Callable[[], object]:
        return lambda: stub.Search(request)

    return [search(request) for request in islice(cycle(requests), count)]
