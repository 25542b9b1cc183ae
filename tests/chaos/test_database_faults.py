"""The network between the servers and Postgres, or Postgres itself, fails while photos come in and
guests search."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from time import monotonic
from typing import Any

import grpc
import pytest
from facepass.v1 import indexer_pb2
from fault_load import (
    INDEXER,
    NOT_SERVING,
    SEARCHER,
    SERVING,
    STORED,
    Load,
    create_event,
    health_becomes,
    search,
    send,
    settle_account,
)
from patience import until
from pydantic import SecretStr
from tcp_proxy import CommitFault, Proxy, proxied

from common.config import DatabaseSettings

pytestmark = pytest.mark.takes(305)

DEADLINE_S = 3.0
LOSS_KNOWN_S, RECOVERED_S, OVER_DEADLINE_S = 5.0, 10.0, 1.0


@pytest.fixture
async def proxy(database: Any) -> AsyncIterator[Proxy]:
    async with proxied(database.server_dsn) as proxy:
        yield proxy


@pytest.fixture
async def servers(proxy: Proxy, vision: Any, serving: Any) -> AsyncIterator[Any]:
    settings = DatabaseSettings(
        dsn=SecretStr(proxy.dsn), pool_size=5, acquire_timeout_s=1.5, statement_timeout_s=6
    )
    async with serving(settings, vision) as running:
        await create_event(running.indexer_channel)
        yield running


async def both_become(servers: Any, wanted: int, within_s: float) -> float:
    return max(
        await asyncio.gather(
            health_becomes(servers.indexer_address, INDEXER, wanted, within_s),
            health_becomes(servers.searcher_address, SEARCHER, wanted, within_s),
        )
    )


async def calls_succeed(servers: Any, within_s: float) -> float:
    """Seconds until both servers do their work again."""
    started = monotonic()
    while True:
        try:
            assert await send(servers.indexer, "after", DEADLINE_S) in STORED
            await search(servers.searcher, DEADLINE_S)
            return monotonic() - started
        except (grpc.aio.AioRpcError, AssertionError):
            assert monotonic() - started < within_s
            await asyncio.sleep(0.1)


def batched(items: list[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


async def send_again(servers: Any, photos: set[str]) -> None:
    """What was not acknowledged can be sent again, whatever became of it: some hundred of them."""
    for some in batched(sorted(photos)[:: 1 + len(photos) // 100], 8):
        told = await asyncio.gather(*(send(servers.indexer, photo, 10) for photo in some))
        assert set(told) <= set(STORED)


@pytest.mark.parametrize("fault", ["down", "swallowed"])
async def test_the_database_goes_away_and_comes_back(
    servers: Any, proxy: Proxy, database: Any, figure: Callable[..., None], long: bool, fault: str
) -> None:
    away_s, well_s = (60.0, 10.0) if long else (0.0, 0.5)
    load = Load(servers, DEADLINE_S)
    async with load.going_on() as account:
        await until(lambda: bool(account.acknowledged and account.searched["OK"]))
        await asyncio.sleep(well_s)
        before = len(account.acknowledged)
        if fault == "down":
            await proxy.down()
        else:
            proxy.swallow(True)
        noticed_s = await both_become(servers, NOT_SERVING, LOSS_KNOWN_S)
        alive = await health_becomes(servers.indexer_address, "", SERVING, 1)
        assert alive < 1, "the process lives, and must not be restarted for this"
        await asyncio.sleep(away_s)
        if fault == "down":
            await proxy.up()
        else:
            proxy.swallow(False)
        started = monotonic()
        await both_become(servers, SERVING, RECOVERED_S)
        await calls_succeed(servers, RECOVERED_S)
        recovered_s = monotonic() - started
        assert recovered_s <= RECOVERED_S
        await until(lambda: len(account.acknowledged) > before)
        await asyncio.sleep(well_s)
    assert account.late_s < OVER_DEADLINE_S
    assert set(account.searched) <= {"OK", "UNAVAILABLE", "DEADLINE_EXCEEDED"}
    await send_again(servers, account.failed)
    counts = await settle_account(account, database.owner_dsn)
    names = {"down": "Database refuses connections", "swallowed": "Network swallows everything"}
    figure(
        names[fault],
        done=f"between servers and Postgres for {away_s:.0f} s, while 4 callers index and 4 search",
        **counts,
        not_serving_after_s=round(noticed_s, 1),
        works_again_after_s=round(recovered_s, 1),
        longest_over_deadline_s=round(max(account.late_s, 0), 2),
    )


async def test_the_database_answers_late(
    servers: Any, proxy: Proxy, database: Any, figure: Callable[..., None], long: bool
) -> None:
    load = Load(servers, DEADLINE_S)
    async with load.going_on() as account:
        await asyncio.sleep(0.5)
        proxy.latency_s = 2.0
        await asyncio.sleep(60 if long else 3)
        proxy.latency_s = 0.0
        works_s = await calls_succeed(servers, RECOVERED_S)
    assert account.late_s < OVER_DEADLINE_S
    await both_become(servers, SERVING, RECOVERED_S)
    await send_again(servers, account.failed)
    counts = await settle_account(account, database.owner_dsn)
    figure(
        "Database answers 2 s late",
        done="each answer of Postgres is held up while 4 callers index and 4 search",
        **counts,
        works_again_after_s=round(works_s, 1),
        longest_over_deadline_s=round(max(account.late_s, 0), 2),
    )


async def test_a_connection_is_lost_inside_commit(
    servers: Any, proxy: Proxy, database: Any, figure: Callable[..., None], long: bool
) -> None:
    load = Load(servers, DEADLINE_S)
    rounds = 15 if long else 1
    for number in range(rounds):
        for fault in CommitFault:
            proxy.commit_fault = fault
            photo = f"{fault.name}-{number}"
            assert await send(servers.indexer, photo, 20) == "INDEXED"
            assert proxy.commit_fault is None, "it was not met"
            load.account.acknowledged.add(photo)
    counts = await settle_account(load.account, database.owner_dsn)
    assert counts["acknowledged"] == rounds * len(CommitFault)
    figure(
        "Connection lost inside COMMIT",
        done="before COMMIT reaches Postgres, before its answer arrives, or with COMMIT arriving "
        "1.5 s after the reset",
        **counts,
        acknowledged_as_new=counts["acknowledged"],
    )


async def test_a_commit_that_stays_unknown_is_not_acknowledged(
    servers: Any, proxy: Proxy, database: Any, figure: Callable[..., None]
) -> None:
    """Postgres has committed, and then stays away: the caller is told to send the photo again."""
    proxy.commit_fault, proxy.goes_down = CommitFault.UNANSWERED, True
    assert await send(servers.indexer, "unknown", 40) == "FAILED UNAVAILABLE"
    await proxy.up()
    await both_become(servers, SERVING, RECOVERED_S)
    assert await send(servers.indexer, "unknown", 10) == "DUPLICATE"
    counts = await settle_account(Load(servers, 1).account, database.owner_dsn)
    figure(
        "Database lost after COMMIT",
        done="Postgres commits, the answer is lost, and the database stays away",
        told="FAILED, UNAVAILABLE",
        sent_again="DUPLICATE",
        **counts,
    )


async def test_a_caller_that_is_gone_does_not_hold_a_connection(servers: Any, proxy: Proxy) -> None:
    """More callers than the pool has connections give up on a dead network; new ones are served as
    soon as it lives again."""
    assert await send(servers.indexer, "first", 10) == "INDEXED"
    proxy.swallow(True)
    request = indexer_pb2.GetPhotoRequest(name="events/gala/photos/first")
    gone = await asyncio.gather(
        *(servers.indexer.GetPhoto(request, timeout=0.5) for _ in range(20)),
        return_exceptions=True,
    )
    assert all(isinstance(each, grpc.aio.AioRpcError) for each in gone)
    proxy.swallow(False)
    await calls_succeed(servers, RECOVERED_S)
