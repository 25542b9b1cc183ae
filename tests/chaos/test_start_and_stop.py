"""Servers start before their database, and are told to stop while everybody is at work."""

import asyncio
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Any

import grpc
import pytest
from facepass.v1 import indexer_pb2, indexer_pb2_grpc, searcher_pb2_grpc
from fault_load import (
    INDEXER,
    NOT_SERVING,
    PHOTO,
    SEARCHER,
    SERVING,
    STORED,
    Account,
    create_event,
    health_becomes,
    search,
    send,
    settle_account,
)
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status  # type: ignore[import-untyped]
from server_process import ServerProcess
from tcp_proxy import Proxy

from common.vision.fake.photos import Command, fake_photo
from standalone.embedded import EmbeddedPostgres

pytestmark = pytest.mark.takes(30)

GRACE_S = 20.0
WINDOW = 4
STREAMS, SEARCHES = 20, 50
ALL_LET_IN = {"SEARCHER__MAX_SEARCHES": "100"}
"""As many as are in flight: what is refused here is refused for the end of the server."""


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="facepass-chaos-"))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made, ignore_errors=True)


class Stopping:
    """What everybody saw of servers that were told to stop."""

    def __init__(self) -> None:
        self.account = Account()
        self.ends: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.first_refusal = float("inf")
        self.not_serving: list[float] = []

    def refused(self, error: grpc.aio.AioRpcError) -> None:
        self.first_refusal = min(self.first_refusal, monotonic())
        code = error.code().name
        # A write that comes after the server ended the stream makes grpc.aio itself say this, in
        # place of the server's status that is on its way; our client goes on as if it were that.
        if error.details() == "Internal error from Core":
            code = "UNAVAILABLE"
        self.ends[code] += 1
        self.reasons[reason_of(error)] += 1


def reason_of(error: grpc.aio.AioRpcError) -> str:
    """The server's reason, empty where the answer did not come from FacePass."""
    status = rpc_status.from_call(error)
    info = error_details_pb2.ErrorInfo()
    for detail in status.details if status else ():
        detail.Unpack(info)
    return str(info.reason)


async def stream(channel: grpc.aio.Channel, number: int, seen: Stopping) -> None:
    """Send photos, a few ahead of their answers, until the server ends the stream."""
    sent: list[str] = []
    room = asyncio.Semaphore(WINDOW)

    async def requests() -> AsyncIterator[indexer_pb2.IndexPhotosRequest]:
        config = indexer_pb2.IndexPhotosConfig(event="events/gala")
        yield indexer_pb2.IndexPhotosRequest(config=config)
        while True:
            await room.acquire()
            sent.append(f"photo-{number}-{len(sent)}")
            header = indexer_pb2.PhotoHeader(photo_id=sent[-1])
            yield indexer_pb2.IndexPhotosRequest(photo=header)
            half = len(PHOTO) // 2
            for data, last in ((PHOTO[:half], False), (PHOTO[half:], True)):
                chunk = indexer_pb2.PhotoChunk(data=data, last=last)
                yield indexer_pb2.IndexPhotosRequest(chunk=chunk)

    try:
        async for response in indexer_pb2_grpc.IndexerStub(channel).IndexPhotos(requests()):
            state = response.result.state
            assert not response.result.HasField("status"), (state, response.result.status)
            seen.account.acknowledged.add(sent[response.sequence])
            room.release()
    except grpc.aio.AioRpcError as error:
        seen.refused(error)


async def searches(channel: grpc.aio.Channel, seen: Stopping) -> None:
    """Search again and again until the server refuses."""
    stub = searcher_pb2_grpc.SearcherStub(channel)
    try:
        while True:
            await search(stub, 30)
            seen.account.searched["OK"] += 1
    except grpc.aio.AioRpcError as error:
        seen.refused(error)


async def watch(channel: grpc.aio.Channel, service: str, seen: Stopping) -> None:
    request = health_pb2.HealthCheckRequest(service=service)
    with suppress(grpc.aio.AioRpcError):
        async for told in health_pb2_grpc.HealthStub(channel).Watch(request):
            if told.status == NOT_SERVING:
                seen.not_serving.append(monotonic())


async def told_to_stop(
    indexer: str, searcher: str, stop: Callable[[], None], work_s: float
) -> Stopping:
    """Everybody at work, then `stop`."""
    seen = Stopping()
    async with AsyncExitStack() as stack:
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(indexer))
        searching = await stack.enter_async_context(grpc.aio.insecure_channel(searcher))
        await create_event(channel)
        assert await send(indexer_pb2_grpc.IndexerStub(channel), "first", 30) in STORED
        tasks = [asyncio.create_task(stream(channel, n, seen)) for n in range(STREAMS)]
        tasks += [asyncio.create_task(searches(searching, seen)) for _ in range(SEARCHES)]
        tasks += [asyncio.create_task(watch(channel, INDEXER, seen))]
        tasks += [asyncio.create_task(watch(searching, SEARCHER, seen))]
        await asyncio.sleep(work_s)
        stop()
        async with asyncio.timeout(GRACE_S + 10):
            await asyncio.gather(*tasks)
    return seen


def assert_orderly(seen: Stopping) -> None:
    assert seen.account.acknowledged and seen.account.searched["OK"]
    assert set(seen.ends) <= {"UNAVAILABLE", "ABORTED"}, (seen.ends, seen.reasons)
    assert seen.ends.total() == STREAMS + SEARCHES
    assert seen.reasons["SHUTTING_DOWN"] >= STREAMS
    assert len(seen.not_serving) == 2
    assert min(seen.not_serving) < seen.first_refusal


async def test_a_standalone_is_told_to_stop(
    folder: Path, figure: Callable[..., None], long: bool
) -> None:
    data = folder / "data"
    server = ServerProcess("standalone", folder, f"--data-dir={data}", variables=ALL_LET_IN)
    run = server.start()
    try:
        await run.ready()
        seen = await told_to_stop(
            server.indexer,
            server.searcher,
            lambda: run.tell(signal.SIGTERM),
            10 if long else 1.5,
        )
        started = monotonic()
        assert await run.ended(GRACE_S) == 0
        took_s = monotonic() - started
        assert "Traceback" not in server.said()
    finally:
        server.end()
    assert_orderly(seen)
    logs = "".join(path.read_text() for path in (data / "logs").glob("postgres-*.log"))
    assert "received fast shutdown request" in logs
    assert "database system was not properly shut down" not in logs
    postgres = EmbeddedPostgres(data)
    await asyncio.to_thread(postgres.start)
    try:
        counts = await settle_account(seen.account, postgres.owner_dsn)
    finally:
        await asyncio.to_thread(postgres.stop)
    figure(
        "Standalone told to stop (SIGTERM)",
        done=f"with {STREAMS} streams of photos and {SEARCHES} searches in flight",
        **counts,
        searches_answered=seen.account.searched["OK"],
        ended_by=", ".join(sorted(seen.ends)),
        ended_after_last_call_s=round(took_s, 1),
        exit_code=0,
    )


@asynccontextmanager
async def refused_with(address: str) -> AsyncIterator[list[str]]:
    """Reasons of a call that is refused."""
    async with grpc.aio.insecure_channel(address) as channel:
        reasons: list[str] = []
        try:
            await search(searcher_pb2_grpc.SearcherStub(channel), 5)
        except grpc.aio.AioRpcError as error:
            assert error.code() == grpc.StatusCode.UNAVAILABLE
            reasons.append(reason_of(error))
        yield reasons


async def test_separate_servers_start_first_and_are_told_to_stop(
    folder: Path, database: Any, figure: Callable[..., None], long: bool
) -> None:
    proxy = Proxy(database.server_dsn)
    await proxy.up()
    await proxy.down()
    variables = {"DATABASE__DSN": proxy.dsn, **ALL_LET_IN}
    servers = [
        ServerProcess(name, folder / name, variables=variables) for name in ("indexer", "searcher")
    ]
    indexer, searcher = servers[0].indexer, servers[1].searcher
    health = [(indexer, INDEXER), (searcher, SEARCHER)]
    runs = [server.start() for server in servers]

    async def become(wanted: int, within_s: float) -> float:
        waits = [health_becomes(*each, wanted, within_s) for each in health]
        return round(max(await asyncio.gather(*waits)), 1)

    def stop() -> None:
        for run in runs:
            run.tell(signal.SIGTERM)

    try:
        await become(NOT_SERVING, 60)
        for address in (indexer, searcher):
            await health_becomes(address, "", SERVING, 5)
        async with refused_with(searcher) as reasons:
            assert reasons == ["STARTING"]
        await proxy.up()
        started_s = await become(SERVING, 60)
        await proxy.down()
        lost_s = await become(NOT_SERVING, 5)
        await proxy.up()
        back_s = await become(SERVING, 10)
        seen = await told_to_stop(indexer, searcher, stop, 10 if long else 1.5)
        assert [await run.ended(GRACE_S) for run in runs] == [0, 0]
        assert "Traceback" not in "".join(server.said() for server in servers)
        assert_orderly(seen)
        counts = await settle_account(seen.account, database.owner_dsn)
    finally:
        for server in servers:
            server.end()
        await proxy.close()
    figure(
        "Database there after the servers, gone and back",
        done="both servers are started first; the database comes, goes and comes again",
        serving_after_s=started_s,
        not_serving_after_s=lost_s,
        serving_again_after_s=back_s,
    )
    figure(
        "Separate servers told to stop (SIGTERM)",
        done=f"with {STREAMS} streams of photos and {SEARCHES} searches in flight",
        **counts,
        searches_answered=seen.account.searched["OK"],
        ended_by=", ".join(sorted(seen.ends)),
        exit_codes="0, 0",
    )


@pytest.mark.slow
async def test_a_second_signal_ends_at_once(folder: Path, database: Any) -> None:
    """A photo that takes long holds up nobody who cannot wait."""
    server = ServerProcess("indexer", folder, variables={"DATABASE__DSN": database.server_dsn})
    run = server.start()
    try:
        await run.ready()
        async with grpc.aio.insecure_channel(server.indexer) as channel:
            await create_event(channel)
            config = indexer_pb2.IndexPhotosConfig(event="events/gala")
            request = indexer_pb2.IndexPhotoRequest(
                config=config,
                photo=indexer_pb2.PhotoHeader(photo_id="slow"),
                content=fake_photo([1], command=Command.HANG),
            )
            call = indexer_pb2_grpc.IndexerStub(channel).IndexPhoto(request)
            await asyncio.sleep(0.5)
            run.tell(signal.SIGTERM)
            await asyncio.sleep(1.5)
            assert not call.done(), "the first signal lets it finish"
            run.tell(signal.SIGINT)
            started = monotonic()
            assert await run.ended(GRACE_S) == 1
            assert monotonic() - started < GRACE_S / 2
    finally:
        server.end()
