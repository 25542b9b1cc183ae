"""What is refused, what is made to wait, and what is ended: over real sockets."""

import asyncio
import hashlib
import logging
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from facepass import AsyncClient
from facepass.v1 import events_pb2, searcher_pb2, types_pb2
from facepass.v1 import indexer_pb2 as pb
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from raw_http2 import RawConnection, message

from common.vision.fake.photos import Command, fake_photo
from indexer.config import IndexerServerSettings, IndexerSettings
from searcher.config import SearcherServerSettings, SearcherSettings

CONFIG = pb.IndexPhotosRequest(config=pb.IndexPhotosConfig(event="events/gala"))
PHOTO = fake_photo([1])


@asynccontextmanager
async def limited(serving: Any, database: Any, vision: Any, **limits: Any) -> AsyncIterator[Any]:
    """Servers whose settings are these, with an event."""
    where: dict[str, Any] = {"listen": "127.0.0.1:0", "metrics_listen": "127.0.0.1:0"}
    ours = {name: value for name, value in limits.items() if name != "max_searches"}
    theirs = {name: value for name, value in limits.items() if name == "max_searches"}
    async with serving(
        database.settings,
        vision,
        indexer_settings=IndexerSettings(indexer=IndexerServerSettings(**where, **ours)),
        searcher_settings=SearcherSettings(searcher=SearcherServerSettings(**where, **theirs)),
    ) as servers:
        await servers.events.CreateEvent(events_pb2.CreateEventRequest(event_id="gala"))
        yield servers


def header(photo_id: str, content: bytes = PHOTO) -> pb.IndexPhotosRequest:
    digest = hashlib.sha256(content).digest()
    photo = pb.PhotoHeader(photo_id=photo_id, content_length=len(content), sha256=digest)
    return pb.IndexPhotosRequest(photo=photo)


def chunk(data: bytes, *, last: bool = False) -> pb.IndexPhotosRequest:
    return pb.IndexPhotosRequest(chunk=pb.PhotoChunk(data=data, last=last))


def unary(photo_id: str) -> pb.IndexPhotoRequest:
    return pb.IndexPhotoRequest(
        config=CONFIG.config, photo=pb.PhotoHeader(photo_id=photo_id), content=PHOTO
    )


def told(error: grpc.aio.AioRpcError) -> tuple[str, str, float]:
    """Reason, limit and seconds to wait of an error."""
    trailers = dict(error.trailing_metadata() or ())
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    for detail in status.details:
        detail.Unpack(info) or detail.Unpack(retry)
    wait_s = retry.retry_delay.ToTimedelta().total_seconds()
    if wait_s:
        assert abs(int(trailers["grpc-retry-pushback-ms"]) / 1000 - wait_s) < 0.01
    return info.reason, info.metadata["limit"], wait_s


async def metric(servers: Any, name: str) -> float:
    def get() -> str:
        address = f"http://127.0.0.1:{servers.indexer_server.metrics_port}/metrics"
        with urllib.request.urlopen(address) as response:
            return str(response.read().decode())

    lines = (await asyncio.to_thread(get)).splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name + " "))


async def becomes(servers: Any, name: str, value: float) -> None:
    """Wait until a metric has that value."""
    for _ in range(2000):
        if await metric(servers, name) == value:
            return
        await asyncio.sleep(0.01)
    pytest.fail(f"{name} is {await metric(servers, name)}")


async def test_streams_over_the_limit_are_refused_in_wave_after_wave(
    serving: Any, database: Any, vision: Any
) -> None:
    async with limited(serving, database, vision, max_streams=2) as servers:
        health = health_pb2_grpc.HealthStub(servers.indexer_channel)
        for wave in range(20):
            admitted = [servers.indexer.IndexPhotos() for _ in range(2)]
            for number, stream in enumerate(admitted):
                for request in (CONFIG, header(f"{wave}-{number}"), chunk(PHOTO, last=True)):
                    await stream.write(request)
                await stream.read()
            refused = [servers.indexer.IndexPhotos() for _ in range(3)]
            for stream in refused:
                with pytest.raises(grpc.aio.AioRpcError) as error:
                    await stream.read()
                assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
                reason, limit, wait_s = told(error.value)
                assert (reason, limit) == ("OVERLOADED", "streams") and wait_s > 0
            assert (await health.Check(health_pb2.HealthCheckRequest())).status == 1
            for stream in admitted:
                if wave % 2:
                    stream.cancel()
                else:
                    await stream.done_writing()
                    assert await stream.read() is grpc.aio.EOF
            await becomes(servers, 'facepass_calls_admitted{limit="streams"}', 0)
        refusals = 'facepass_refusals_total{limit="streams",reason="streams"}'
        assert await metric(servers, refusals) == 60
        assert await metric(servers, "facepass_photo_bytes") == 0


async def test_the_client_waits_as_told_and_tries_again(
    serving: Any, database: Any, vision: Any
) -> None:
    slow = fake_photo([1], command=Command.SLOW)
    async with (
        limited(serving, database, vision, max_searches=1) as servers,
        AsyncClient(searcher=servers.searcher_address) as client,
    ):
        answers = await asyncio.gather(*(client.search("gala", slow) for _ in range(2)))
        assert all(answer.probes[0].usable for answer in answers)


async def test_streams_wait_for_room_and_all_finish(
    serving: Any, database: Any, vision: Any
) -> None:
    """Room for three photos among six streams that each have half a photo under way."""
    async with limited(serving, database, vision, photo_bytes=3 * len(PHOTO)) as servers:
        half = len(PHOTO) // 2
        most = 0.0
        streams = [servers.indexer.IndexPhotos() for _ in range(6)]
        for number, stream in enumerate(streams):
            for request in (CONFIG, header(f"p{number}"), chunk(PHOTO[:half])):
                await stream.write(request)
        await becomes(servers, "facepass_photo_bytes", 3 * len(PHOTO))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await servers.indexer.IndexPhoto(unary("alone"))
        assert told(refused.value)[:2] == ("OVERLOADED", "photo_bytes")

        async def finish(stream: Any) -> None:
            nonlocal most
            await stream.write(chunk(PHOTO[half:], last=True))
            answer = await stream.read()
            assert answer.result.state == types_pb2.PHOTO_STATE_INDEXED
            most = max(most, await metric(servers, "facepass_photo_bytes"))

        await asyncio.wait_for(asyncio.gather(*map(finish, streams)), 30)
        assert most <= 3 * len(PHOTO)
        for stream in streams:
            await stream.done_writing()
            assert await stream.read() is grpc.aio.EOF
        assert await metric(servers, "facepass_photo_bytes") == 0
        await servers.indexer.IndexPhoto(unary("alone"))


async def test_a_stream_whose_caller_does_nothing_is_ended(
    serving: Any, database: Any, vision: Any
) -> None:
    # Longer than the caller may be idle, which it is not while it waits for its answer.
    slow = fake_photo([1], command=Command.SLOW)
    async with limited(serving, database, vision, idle_timeout_s=0.2) as servers:
        stream = servers.indexer.IndexPhotos()
        for request in (CONFIG, header("slow", slow), chunk(slow, last=True)):
            await stream.write(request)
        assert (await stream.read()).result.state == types_pb2.PHOTO_STATE_INDEXED
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await stream.read()
        assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
        assert told(ended.value)[0] == "CALLER_IDLE"
        assert "not answered" in (ended.value.details() or "")


async def test_a_few_bytes_now_and_then_do_not_keep_a_stream(
    serving: Any, database: Any, vision: Any
) -> None:
    def trickle(address: str) -> bytes:
        connection = RawConnection(address)
        stream = connection.call("/facepass.v1.Indexer/IndexPhotos")
        for request in (CONFIG, header("never")):
            connection.send(stream, message(request.SerializeToString()))
        connection.socket.settimeout(0.02)
        for _ in range(1000):
            connection.send(stream, message(chunk(b"x").SerializeToString()))
            if answered := connection.ended(stream):
                break
        connection.close()
        return answered

    async with limited(serving, database, vision, idle_timeout_s=0.2) as servers:
        answered = await asyncio.to_thread(trickle, servers.indexer_address)
        assert b"grpc-status\x0214" in answered  # UNAVAILABLE
        await becomes(servers, 'facepass_calls_admitted{limit="streams"}', 0)
        await becomes(servers, "facepass_photo_bytes", 0)


async def test_who_never_reads_and_leaves_is_no_error(
    serving: Any, database: Any, vision: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def ask(address: str) -> RawConnection:
        connection = RawConnection(address, window=0)
        stream = connection.call("/facepass.v1.Indexer/IndexPhotos")
        for request in (CONFIG, header("unread"), chunk(PHOTO, last=True)):
            connection.send(stream, message(request.SerializeToString()))
        return connection

    async with limited(serving, database, vision, idle_timeout_s=0.2) as servers:
        deaf = await asyncio.to_thread(ask, servers.indexer_address)
        refused = 'facepass_refusals_total{limit="streams",reason="CALLER_IDLE"}'
        await becomes(servers, refused, 1)
        deaf.close()
        method = "/facepass.v1.Indexer/IndexPhotos"
        await becomes(servers, f'facepass_rpcs_in_flight{{method="{method}"}}', 0)
        ended = f'facepass_rpcs_total{{code="CANCELLED",method="{method}"}}'
        await becomes(servers, ended, 1)
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]


async def test_connections_over_the_limit_are_closed(
    serving: Any, database: Any, vision: Any
) -> None:
    async with limited(serving, database, vision, max_connections=4) as servers:

        def connect() -> list[bool]:
            connections = [RawConnection(servers.indexer_address) for _ in range(12)]
            alive = []
            for connection in connections:
                try:
                    connection.read()
                    alive.append(True)
                except (OSError, EOFError):
                    alive.append(False)
            for connection in connections:
                connection.close()
            return alive

        # One is the test's own channel.
        assert sum(await asyncio.to_thread(connect)) == 3
        await servers.events.GetEvent(events_pb2.GetEventRequest(name="events/gala"))


async def test_what_is_no_message_is_the_callers_fault(servers: Any) -> None:
    call = servers.searcher_channel.unary_unary("/facepass.v1.Searcher/Search")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call(b"\xff\xff\xff")
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    request = searcher_pb2.EvaluateSelfieRequest(image=PHOTO)
    assert (await servers.searcher.EvaluateSelfie(request)).usable
