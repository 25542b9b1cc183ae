"""Load from a process of its own, so that making it takes no time from the servers' event loop.

usage: load.py PLAN     a Plan as JSON; prints a Tally as JSON, or several for several plans
"""

import asyncio
import json
import random
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import grpc
from facepass.v1 import indexer_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

SEARCH = "/facepass.v1.Searcher/Search"
INDEX = "/facepass.v1.Indexer/IndexPhoto"
CONNECTIONS = 4
TIMEOUT_S = 30
CANCEL_S = 0.01


@dataclass(frozen=True)
class Plan:
    """Calls of one method for some seconds: `callers` who call one after the other, or, with a
    `rate`, so many calls a second whatever becomes of those before."""

    address: str
    method: str
    request: str
    """File with the serialized request; photos get an id of their own in each call."""
    seconds: float
    callers: int = 0
    rate: float = 0.0
    seed: int = 0
    calls: int = 0
    """Most calls in all; 0: as many as there is time for."""
    cancelled: float = 0.0
    """Share of the calls that are cancelled at some moment of their first CANCEL_S."""


@dataclass
class Tally:
    """What came of it: milliseconds of each call by outcome, the longest health check's too."""

    good_ms: list[float] = field(default_factory=list)
    refused_ms: list[float] = field(default_factory=list)
    health_ms: list[float] = field(default_factory=list)
    cancelled: int = 0
    untold: int = 0
    """Refusals that did not say when to try again."""
    failed: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0


class Load:
    """One run of a plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._tally = Tally()
        self._request = Path(plan.request).read_bytes()
        self._number = 0
        self._chance = random.Random(plan.seed)
        options = [("grpc.use_local_subchannel_pool", 1)]
        self._channels = [
            grpc.aio.insecure_channel(plan.address, options) for _ in range(CONNECTIONS)
        ]
        self._calls: list[Any] = [channel.unary_unary(plan.method) for channel in self._channels]

    async def run(self) -> Tally:
        """Make the calls and wait for the last answer."""
        plan = self._plan
        await asyncio.gather(*(channel.channel_ready() for channel in self._channels))
        health = asyncio.create_task(self._check_health())
        started = time.perf_counter()
        if plan.rate:
            await self._open(started)
        else:
            await asyncio.gather(*(self._closed(started) for _ in range(plan.callers)))
        self._tally.seconds = time.perf_counter() - started
        health.cancel()
        await asyncio.gather(health, return_exceptions=True)
        await asyncio.gather(*(channel.close() for channel in self._channels))
        return self._tally

    async def _closed(self, started: float) -> None:
        most = self._plan.calls or sys.maxsize
        while self._number < most and time.perf_counter() - started < self._plan.seconds:
            await self._one()

    async def _open(self, started: float) -> None:
        due = 0.0
        async with asyncio.TaskGroup() as calls:
            while (due := due + self._chance.expovariate(self._plan.rate)) < self._plan.seconds:
                await asyncio.sleep(max(0.0, started + due - time.perf_counter()))
                calls.create_task(self._one())

    async def _one(self) -> None:
        self._number += 1
        call = self._calls[self._number % CONNECTIONS]
        request = self._request
        if self._plan.method == INDEX:
            name = f"{self._plan.seed}-{self._number}"
            header = indexer_pb2.PhotoHeader(photo_id=name)
            # What comes twice in a message is merged, so this names the photo.
            request += indexer_pb2.IndexPhotoRequest(photo=header).SerializeToString()
        begun = time.perf_counter()
        answer = call(request, timeout=TIMEOUT_S)
        if self._chance.random() < self._plan.cancelled:
            after_s = self._chance.random() * CANCEL_S
            asyncio.get_running_loop().call_later(after_s, answer.cancel)
        try:
            await answer
        except asyncio.CancelledError:
            self._tally.cancelled += 1
        except grpc.aio.AioRpcError as error:
            self._note(error, (time.perf_counter() - begun) * 1000)
        else:
            self._tally.good_ms.append((time.perf_counter() - begun) * 1000)

    def _note(self, error: grpc.aio.AioRpcError, ms: float) -> None:
        if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
            self._tally.refused_ms.append(ms)
            self._tally.untold += not _says_when(error)
        else:
            name = error.code().name
            self._tally.failed[name] = self._tally.failed.get(name, 0) + 1

    async def _check_health(self) -> None:
        stub = health_pb2_grpc.HealthStub(self._channels[0])
        while True:
            begun = time.perf_counter()
            await stub.Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S)
            self._tally.health_ms.append((time.perf_counter() - begun) * 1000)
            await asyncio.sleep(0.1)


def _says_when(error: grpc.aio.AioRpcError) -> bool:
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            status = status_pb2.Status.FromString(value)
            return any(
                detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR) for detail in status.details
            )
    return False


async def run(*plans: Plan) -> list[Tally]:
    """Run plans one after the other in a process of their own."""
    texts = [json.dumps(asdict(plan)) for plan in plans]
    process = await asyncio.create_subprocess_exec(
        sys.executable, __file__, *texts, stdout=asyncio.subprocess.PIPE
    )
    try:
        out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0
    return [Tally(**json.loads(line)) for line in out.decode().splitlines()]


async def main(plan: Plan) -> Tally:
    return await Load(plan).run()


if __name__ == "__main__":
    for text in sys.argv[1:]:
        print(json.dumps(asdict(asyncio.run(main(Plan(**json.loads(text)))))))
