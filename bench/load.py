"""Callers in a process of their own, each with one search in flight, until told to stop.

Reads an order as one line of JSON, searches until its standard input ends, then prints what became
of it as another.
"""

import standalone  # noqa: F401 - before gRPC, for which it sets the environment

# isort: split

import asyncio
import base64
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import asdict, dataclass
from itertools import cycle
from time import perf_counter

import grpc
from facepass.v1 import searcher_pb2 as pb
from facepass.v1 import searcher_pb2_grpc

from bench.ground import ROOT, Server


@dataclass(frozen=True, slots=True)
class Order:
    """What to search for. requests: serialised, base64. pause_s: of a caller after each search.
    connections: among which the callers are shared out."""

    address: str
    callers: int
    pause_s: float
    requests: Sequence[str]
    connections: int = 1

    def parsed(self) -> list[pb.SearchRequest]:
        return [pb.SearchRequest.FromString(base64.b64decode(each)) for each in self.requests]


@dataclass
class Load:
    """What became of the searches."""

    searches: int = 0
    failed: int = 0
    seconds: float = 0.0
    longest_ms: float = 0.0

    @property
    def per_s(self) -> float:
        return self.searches / self.seconds


class Callers:
    """The process, from the side of whoever started it."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def stop(self) -> Load:
        """End the searches; returns what became of them."""
        told, _ = self._process.communicate(timeout=60)
        return Load(**json.loads(told))


@contextmanager
def searching(
    server: Server,
    requests: Sequence[pb.SearchRequest],
    callers: int,
    pause_s: float = 0.0,
    connections: int = 1,
) -> Iterator[Callers]:
    """Search with these requests, over and over, from when the context is entered."""
    encoded = [base64.b64encode(each.SerializeToString()).decode() for each in requests]
    order = Order(server.address, callers, pause_s, encoded, connections)
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.load"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(json.dumps(asdict(order)) + "\n")
        process.stdin.flush()
        process.stdout.readline()  # it has begun
        yield Callers(process)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


async def _run(order: Order) -> Load:
    requests, stop, load = order.parsed(), asyncio.Event(), Load()
    async with AsyncExitStack() as stack:
        options = [("grpc.use_local_subchannel_pool", 1)]  # or all share one connection
        stubs = [
            searcher_pb2_grpc.SearcherStub(
                await stack.enter_async_context(grpc.aio.insecure_channel(order.address, options))
            )
            for _ in range(order.connections)
        ]
        await asyncio.gather(*(stub.Search(requests[0]) for stub in stubs))
        print("begun", flush=True)
        started = perf_counter()
        callers = [
            asyncio.create_task(
                _search(
                    stubs[i % len(stubs)], requests[i:] + requests[:i], order.pause_s, stop, load
                )
            )
            for i in range(order.callers)
        ]
        await asyncio.to_thread(sys.stdin.read)
        stop.set()
        await asyncio.gather(*callers)
        load.seconds = perf_counter() - started
    return load


async def _search(
    stub: "searcher_pb2_grpc.SearcherAsyncStub",
    requests: Sequence[pb.SearchRequest],
    pause_s: float,
    stop: asyncio.Event,
    load: Load,
) -> None:
    for request in cycle(requests):
        if stop.is_set():
            return
        started = perf_counter()
        try:
            await stub.Search(request)
        except grpc.aio.AioRpcError:
            load.failed += 1
        load.searches += 1
        load.longest_ms = max(load.longest_ms, (perf_counter() - started) * 1000)
        if pause_s:
            await asyncio.sleep(pause_s)


if __name__ == "__main__":
    print(json.dumps(asdict(asyncio.run(_run(Order(**json.loads(sys.stdin.readline())))))))
