"""Photos and searches that go on whatever happens, and the account of what callers were told."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import asyncpg
import grpc
from facepass.v1 import events_pb2, events_pb2_grpc, indexer_pb2, searcher_pb2, types_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from common.vision.fake.engine import FakeEngine
from common.vision.fake.photos import fake_photo

PEOPLE = [3, 4]
PHOTO = fake_photo(PEOPLE)
INDEXER, SEARCHER = "facepass.v1.Indexer", "facepass.v1.Searcher"
STORED = ("INDEXED", "DUPLICATE")
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_PAUSE_S = 0.1
_ORPHANS = """
SELECT count(*) FROM face f
 WHERE f.event_id > 0
   AND NOT EXISTS (SELECT FROM photo p WHERE p.event_id = f.event_id AND p.photo_no = f.photo_no)
"""
_STORED = """
SELECT p.photo_id, (SELECT count(*) FROM face f
                     WHERE f.event_id = p.event_id AND f.photo_no = p.photo_no) AS faces
  FROM photo p
 WHERE p.event_id > 0
"""


@dataclass
class Account:
    """What callers were told. longest_s: of any call, beyond its deadline."""

    acknowledged: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    codes: Counter[str] = field(default_factory=Counter)
    searched: Counter[str] = field(default_factory=Counter)
    late_s: float = 0.0


async def create_event(channel: grpc.aio.Channel, event: str = "gala") -> None:
    await events_pb2_grpc.EventsStub(channel).CreateEvent(
        events_pb2.CreateEventRequest(event_id=event)
    )


async def send(indexer: Any, photo_id: str, timeout_s: float) -> str:
    """Index one photo; the name of its state."""
    response = await indexer.IndexPhoto(
        indexer_pb2.IndexPhotoRequest(
            config=indexer_pb2.IndexPhotosConfig(event="events/gala"),
            photo=indexer_pb2.PhotoHeader(photo_id=photo_id),
            content=PHOTO,
        ),
        timeout=timeout_s,
    )
    result = response.result
    state = types_pb2.PhotoState.Name(result.state).removeprefix("PHOTO_STATE_")
    if not result.HasField("status"):
        return state
    code = next(each for each in grpc.StatusCode if each.value[0] == result.status.code)
    return f"{state} {code.name}"


async def search(searcher: Any, timeout_s: float) -> None:
    values = FakeEngine().embedding(PEOPLE[0], 0).tolist()
    probe = searcher_pb2.Probe(embedding={"values": values, "pack": FakeEngine().pack.key})
    request = searcher_pb2.SearchRequest(event="events/gala", probes=[probe])
    await searcher.Search(request, timeout=timeout_s)


class Load:
    """Callers that index and search one after the other."""

    def __init__(self, servers: Any, deadline_s: float, callers: int = 4) -> None:
        self._servers = servers
        self._deadline_s = deadline_s
        self._callers = callers
        self._next = 0
        self.account = Account()

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[Account]:
        tasks = [asyncio.create_task(self._index()) for _ in range(self._callers)]
        tasks += [asyncio.create_task(self._search()) for _ in range(self._callers)]
        try:
            yield self.account
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _index(self) -> None:
        account = self.account
        while True:
            self._next += 1
            photo_id, started = f"photo-{self._next}", monotonic()
            account.failed.add(photo_id)
            try:
                told = await send(self._servers.indexer, photo_id, self._deadline_s)
            except grpc.aio.AioRpcError as error:
                told = error.code().name
            account.codes[told] += 1
            if told in STORED:
                account.acknowledged.add(photo_id)
                account.failed.discard(photo_id)
            account.late_s = max(account.late_s, monotonic() - started - self._deadline_s)
            await asyncio.sleep(_PAUSE_S)

    async def _search(self) -> None:
        account = self.account
        while True:
            started = monotonic()
            try:
                await search(self._servers.searcher, self._deadline_s)
                account.searched["OK"] += 1
            except grpc.aio.AioRpcError as error:
                account.searched[error.code().name] += 1
            account.late_s = max(account.late_s, monotonic() - started - self._deadline_s)
            await asyncio.sleep(_PAUSE_S)


async def health_becomes(address: str, service: str, wanted: int, within_s: float) -> float:
    """Seconds until a server's health is `wanted`; fails where that takes too long."""
    started = monotonic()
    async with grpc.aio.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service=service)
        while True:
            told = None
            with suppress(grpc.aio.AioRpcError):
                told = (await stub.Check(request, timeout=1, wait_for_ready=True)).status
            elapsed = monotonic() - started
            assert elapsed <= within_s, f"{service} was {told} after {elapsed:.1f} s"
            if told == wanted:
                return elapsed
            await asyncio.sleep(0.05)


async def settle_account(account: Account, dsn: str) -> dict[str, int]:
    """Hold what callers were told against the database; what is to be told of it."""
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch(_STORED)
        orphans = await connection.fetchval(_ORPHANS)
    finally:
        await connection.close()
    stored = Counter(row["photo_id"] for row in rows)
    assert all(row["faces"] == len(PEOPLE) for row in rows)
    lost = account.acknowledged - stored.keys()
    assert lost == set()
    assert max(stored.values(), default=1) == 1
    assert orphans == 0
    return {
        "acknowledged": len(account.acknowledged),
        "lost": len(lost),
        "stored_twice": sum(n > 1 for n in stored.values()),
        "orphan_faces": orphans,
    }
