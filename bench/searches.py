"""Searches through gRPC, and what was to be found."""

import standalone  # noqa: F401 - before gRPC, for which it sets the environment

# isort: split

import time
from collections.abc import Callable, Sequence

import grpc
import numpy as np
from facepass.v1 import searcher_pb2 as pb
from facepass.v1.searcher_pb2_grpc import SearcherStub
from facepass.v1.types_pb2 import Embedding
from grpc_health.v1 import health_pb2, health_pb2_grpc
from numpy.typing import NDArray

from bench.figures import median_time
from bench.fill_repository import PACK
from bench.ground import Server
from bench.templates import LIMIT, THRESHOLD, Gallery, Templates

CALLS_A_ROUND = 40
_WARM_TIMEOUT_S = 15.0


def request_of(
    event: Gallery, probe: NDArray[np.float32], *, exact: bool = False
) -> pb.SearchRequest:
    """The search that is measured: every face at or above the threshold."""
    sample = pb.Probe(embedding=Embedding(values=probe.tolist(), pack=PACK.key))
    return pb.SearchRequest(
        event=str(event.name),
        probes=[sample],
        min_similarity=THRESHOLD,
        group_by=pb.GROUP_BY_FACE,
        page_size=LIMIT,
        exact=exact,
    )


class Searches:
    """One caller of one Searcher."""

    def __init__(self, server: Server, channel: grpc.Channel) -> None:
        self.server = server
        self._stub = SearcherStub(channel)
        self._health = health_pb2_grpc.HealthStub(channel)

    def ask(self, request: pb.SearchRequest) -> pb.SearchResponse:
        answer: pb.SearchResponse = self._stub.Search(request)
        return answer

    def call(
        self, event: Gallery, probe: NDArray[np.float32], *, exact: bool = False
    ) -> Callable[[], pb.SearchResponse]:
        """A search to be timed, its request made beforehand."""
        request = request_of(event, probe, exact=exact)
        return lambda: self.ask(request)

    def empty_call(self) -> object:
        """A call that does nothing: the health check, on the same port of the same server."""
        return self._health.Check(health_pb2.HealthCheckRequest())

    def answers(self, event: Gallery, probes: Templates) -> list[pb.SearchResponse]:
        """One for each probe."""
        return [self.ask(request_of(event, probe)) for probe in probes]

    def found(
        self, event: Gallery, probes: Templates, source: "pb.SearchSource"
    ) -> list[frozenset[int]]:
        """Numbers of the faces found for each probe; every answer must come from `source`."""
        answers = self.answers(event, probes)
        others = {answer.source for answer in answers} - {source}
        if others:
            names = [pb.SearchSource.Name(other) for other in others]
            raise RuntimeError(f"{event.name}: answers came from {names}")
        return [faces_of(answer) for answer in answers]

    def warm(self, event: Gallery, probe: NDArray[np.float32]) -> None:
        """Search until the event is in the server's memory."""
        deadline = time.monotonic() + _WARM_TIMEOUT_S
        while self.ask(request_of(event, probe)).source != pb.SEARCH_SOURCE_MEMORY:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{event.name} does not come into memory")
            time.sleep(0.02)


def faces_of(answer: pb.SearchResponse) -> frozenset[int]:
    """Numbers of the faces of an answer."""
    return frozenset(int(match.face.name.rpartition("/")[2]) for match in answer.matches)


def recall(found: Sequence[frozenset[int]], wanted: Sequence[frozenset[int]]) -> float:
    """Share of the wanted faces that were found."""
    pairs = zip(found, wanted, strict=True)
    return sum(len(f & w) for f, w in pairs) / max(1, sum(map(len, wanted)))


def of_round(probes: Templates, number: int, count: int) -> Templates:
    """The probes of one round: others than those of the round before."""
    return np.take(probes, range(number * count, (number + 1) * count), axis=0, mode="wrap")


def time_of(searches: Searches, event: Gallery, probes: Templates, number: int) -> float:
    """Median seconds of the searches of one round."""
    return median_time(
        [searches.call(event, probe) for probe in of_round(probes, number, CALLS_A_ROUND)]
    )
