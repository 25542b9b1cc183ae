"""What traces cost a search: of one event, by a server that does not trace and by others that do.

usage: python -m bench.traces
"""

import standalone  # noqa: F401 - before gRPC, for which it sets the environment

# isort: split

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from time import perf_counter

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as pb_grpc

from bench.figures import (
    Bar,
    Figure,
    as_json,
    as_text,
    interleaved,
    median_time,
    milliseconds,
    ratio,
)
from bench.fill_repository import PACK
from bench.filling import fill
from bench.ground import Ground, prepared
from bench.searches import Searches, of_round
from bench.templates import Gallery, Population, Sizes, Templates
from common.names import EventName

_DATABASE = "traces"
_SIZES = Sizes(0.1)
_AT_SCALE = "5k"
"""The label of an event of 500 faces at this scale."""
_SAMPLED = {"1.0": "every call", "0.01": "a hundredth"}
_BAR = Bar("<=", 1.25)
_ROUNDS, _CALLS = 120, 40


def main() -> None:
    """Measure, then print the table and the line of JSON."""
    started = perf_counter()
    population = Population(_SIZES)
    start = sum(list(_SIZES.events.values())[: list(_SIZES.events).index(_AT_SCALE)])
    event = Gallery(EventName("traced"), start, _SIZES.events[_AT_SCALE])
    with prepared(small=True) as ground, _collector() as (address, spans):
        ground.create_database(_DATABASE)
        templates = event.of(population.templates)
        asyncio.run(fill(ground.server_dsn(_DATABASE), event.name, templates))
        probes = population.probes(_AT_SCALE, _CALLS)
        figures = _measure(ground, address, event, probes)
    print(as_text(figures))
    sizes = {"dimension": PACK.dimension, "faces": event.size, "spans": sum(spans)}
    print(as_json("traces", figures, sizes, perf_counter() - started))


def _measure(ground: Ground, address: str, event: Gallery, probes: Templates) -> list[Figure]:
    settings: list[dict[str, str]] = [{}] + [
        {
            "FACEPASS_TRACES__ENDPOINT": f"http://{address}",
            "FACEPASS_TRACES__SAMPLE_RATIO": sampled,
        }
        for sampled in _SAMPLED
    ]
    with ExitStack() as stack:
        callers = []
        for each in settings:
            server = ground.serve("searcher", _DATABASE, **each)
            callers.append(Searches(server, stack.enter_context(server.channel())))
            callers[-1].warm(event, probes[0])
        # Many calls of one server at a time: what it does after an answer is in the next one's way.
        samples = [partial(_round, caller, event, probes) for caller in callers]
        plain, *traced = interleaved(_ROUNDS, *samples)
    figures = [milliseconds("plain_ms", f"{event.size} faces in memory: not traced", plain)]
    for (sampled, label), rounds in zip(_SAMPLED.items(), traced, strict=True):
        key = f"traced_{sampled.replace('.', '_')}"
        figures.append(ratio(key, f"{label} traced / not traced", rounds, plain, _BAR))
    return figures


def _round(caller: Searches, event: Gallery, probes: Templates, number: int) -> float:
    """Median seconds of the calls of one round."""
    some = of_round(probes, number, _CALLS)
    return median_time([caller.call(event, probe) for probe in some])


class _Counting(pb_grpc.TraceServiceServicer):
    """Takes spans, and keeps how many there were."""

    def __init__(self) -> None:
        self.spans: list[int] = []

    def Export(
        self, request: pb.ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> pb.ExportTraceServiceResponse:
        scopes = [scope for each in request.resource_spans for scope in each.scope_spans]
        self.spans.append(sum(len(scope.spans) for scope in scopes))
        return pb.ExportTraceServiceResponse()


@contextmanager
def _collector() -> Iterator[tuple[str, list[int]]]:
    """Its address, and how many spans each batch had."""
    server, counting = grpc.server(ThreadPoolExecutor(1)), _Counting()
    pb_grpc.add_TraceServiceServicer_to_server(counting, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}", counting.spans
    finally:
        server.stop(None).wait()


if __name__ == "__main__":
    main()
