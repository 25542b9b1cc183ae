"""What every server has: health, reflection, metrics, logs, and errors that tell nothing of the
inside."""

import asyncio
import json
import logging
import urllib.request
from typing import Any

import asyncpg
import grpc
import pytest
from facepass.v1 import events_pb2, indexer_pb2, searcher_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from pydantic import SecretStr

from common.config import DatabaseSettings, EngineSettings, ImageLimits
from common.errors import SetupError
from common.logs import JsonFormatter
from common.vision.fake.photos import fake_photo
from common.vision.workers.pool import WorkerPool
from indexer.config import IndexerServerSettings, IndexerSettings

SERVING, NOT_SERVING = (
    health_pb2.HealthCheckResponse.SERVING,
    health_pb2.HealthCheckResponse.NOT_SERVING,
)


async def test_health_is_told_and_watched_until_the_server_stops(
    database: Any, vision: Any, serving: Any
) -> None:
    watched: list[int] = []
    async with serving(database.settings, vision) as servers:
        for channel, services in (
            (servers.indexer_channel, ("", "facepass.v1.Events", "facepass.v1.Indexer")),
            (servers.searcher_channel, ("", "facepass.v1.Searcher")),
        ):
            stub = health_pb2_grpc.HealthStub(channel)
            for service in services:
                request = health_pb2.HealthCheckRequest(service=service)
                assert (await stub.Check(request)).status == SERVING
        watcher = grpc.aio.insecure_channel(servers.searcher_address)
        request = health_pb2.HealthCheckRequest(service="facepass.v1.Searcher")
        watch = health_pb2_grpc.HealthStub(watcher).Watch(request)
        watched.append((await watch.read()).status)
    watched.append((await watch.read()).status)
    await watcher.close()
    assert watched == [SERVING, NOT_SERVING]


async def test_reflection_lists_the_services(servers: Any) -> None:
    async def listed(channel: grpc.aio.Channel) -> set[str]:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        async for response in stub.ServerReflectionInfo(iter([request])):
            return {service.name for service in response.list_services_response.service}
        return set()

    assert {"facepass.v1.Events", "facepass.v1.Indexer"} <= await listed(servers.indexer_channel)
    assert "facepass.v1.Searcher" in await listed(servers.searcher_channel)


async def scrape(port: int) -> str:
    def get() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as response:
            return str(response.read().decode())

    return await asyncio.to_thread(get)


async def test_calls_and_photos_are_counted(servers: Any) -> None:
    await servers.events.CreateEvent(events_pb2.CreateEventRequest(event_id="gala"))
    await servers.indexer.IndexPhoto(
        indexer_pb2.IndexPhotoRequest(
            config=indexer_pb2.IndexPhotosConfig(event="events/gala"),
            photo=indexer_pb2.PhotoHeader(photo_id="a"),
            content=fake_photo([1, 2], small=[2]),
        )
    )
    probe = searcher_pb2.Probe(image=fake_photo([1]))
    await servers.searcher.Search(searcher_pb2.SearchRequest(event="events/gala", probes=[probe]))
    with pytest.raises(grpc.aio.AioRpcError):
        await servers.searcher.Search(searcher_pb2.SearchRequest(event="events/gala"))

    indexing = await scrape(servers.indexer_server.metrics_port)
    assert 'facepass_photos_total{state="INDEXED"} 1.0' in indexing
    assert "facepass_faces_indexed_total 1.0" in indexing
    assert 'facepass_faces_unindexed_total{reason="SMALL_BOX"} 1.0' in indexing
    assert "facepass_photos_pending 0.0" in indexing
    searching = await scrape(servers.searcher_server.metrics_port)
    method = "/facepass.v1.Searcher/Search"
    assert f'facepass_rpcs_total{{code="OK",method="{method}"}} 1.0' in searching
    assert f'facepass_rpcs_total{{code="INVALID_ARGUMENT",method="{method}"}} 1.0' in searching
    assert f'facepass_rpcs_in_flight{{method="{method}"}} 0.0' in searching


async def test_a_call_is_logged_with_its_request_id(
    servers: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.handler.setFormatter(JsonFormatter())
    with caplog.at_level(logging.INFO):
        await servers.events.CreateEvent(
            events_pb2.CreateEventRequest(event_id="gala"), metadata=[("x-request-id", "abc")]
        )
    lines = [json.loads(line) for line in caplog.text.splitlines()]
    (call,) = [line for line in lines if line.get("action") == "rpc"]
    assert call["request_id"] == "abc"
    assert (call["method"], call["code"]) == ("/facepass.v1.Events/CreateEvent", "OK")
    assert call["level"] == "INFO" and call["ms"] > 0


async def test_an_unexpected_error_tells_nothing_of_the_inside(
    servers: Any, database: Any, caplog: pytest.LogCaptureFixture, postgres: Any
) -> None:
    owner = await asyncpg.connect(database.owner_dsn)
    await owner.execute("ALTER TABLE event RENAME COLUMN display_name TO broken")
    await owner.close()
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await servers.events.CreateEvent(events_pb2.CreateEventRequest(event_id="gala"))
    assert failed.value.code() is grpc.StatusCode.INTERNAL
    assert failed.value.details() == "internal error"
    assert "display_name" in caplog.text


async def test_a_lost_database_is_unavailable_until_it_is_back(
    servers: Any, database: Any, postgres: Any
) -> None:
    request = events_pb2.CreateEventRequest(event_id="gala")
    await asyncio.to_thread(postgres.drop_database, database.name)
    with pytest.raises(grpc.aio.AioRpcError) as away:
        await servers.events.CreateEvent(request)
    assert away.value.code() is grpc.StatusCode.UNAVAILABLE
    assert database.name not in (away.value.details() or "")
    await asyncio.to_thread(postgres.create_database, database.name, template="facepass_template")
    for _ in range(20):
        try:
            await servers.events.CreateEvent(request)
            return
        except grpc.aio.AioRpcError as error:
            assert error.code() is grpc.StatusCode.UNAVAILABLE
    pytest.fail("the servers did not find the database again")


async def test_packs_are_never_mixed(servers: Any, database: Any, serving: Any) -> None:
    await servers.events.CreateEvent(events_pb2.CreateEventRequest(event_id="gala"))
    photo = indexer_pb2.IndexPhotoRequest(
        config=indexer_pb2.IndexPhotosConfig(event="events/gala"),
        photo=indexer_pb2.PhotoHeader(photo_id="a"),
        content=fake_photo([1]),
    )
    face = (await servers.indexer.IndexPhoto(photo)).result.photo.faces[0].name
    small = WorkerPool(EngineSettings(kind="fake", pack="fake-small", workers=1), ImageLimits())
    await small.start()
    try:
        async with serving(database.settings, small) as others:
            photo.photo.photo_id = "b"
            selfie = searcher_pb2.SearchRequest(
                event="events/gala", probes=[searcher_pb2.Probe(image=fake_photo([1]))]
            )
            for call in (others.indexer.IndexPhoto(photo), others.searcher.Search(selfie)):
                with pytest.raises(grpc.aio.AioRpcError) as mixed:
                    await call
                assert mixed.value.code() is grpc.StatusCode.FAILED_PRECONDITION
            # A stored face needs no engine: it is searched with its own pack and thresholds.
            by_face = searcher_pb2.SearchRequest(
                event="events/gala", probes=[searcher_pb2.Probe(face=face)]
            )
            answer = await others.searcher.Search(by_face)
            assert len(answer.matches) == 1
            assert answer.pack.startswith("fake@")

            await others.events.CreateEvent(events_pb2.CreateEventRequest(event_id="small"))
            photo.config.event = "events/small"
            assert (await others.indexer.IndexPhoto(photo)).result.photo.faces
            selfie.event = "events/small"
            assert len((await others.searcher.Search(selfie)).matches) == 1
    finally:
        await small.close()


async def test_a_taken_port_is_a_clear_error(
    servers: Any, database: Any, vision: Any, serving: Any
) -> None:
    taken = IndexerSettings(
        indexer=IndexerServerSettings(listen=servers.indexer_address, metrics_listen="")
    )
    with pytest.raises(SetupError, match=r"cannot listen on 127\.0\.0\.1"):
        async with serving(database.settings, vision, indexer_settings=taken):
            pytest.fail("two servers listen on one port")


def test_settings_hide_the_password() -> None:
    settings = DatabaseSettings(dsn=SecretStr("postgresql://u:secret@h/d"))
    assert "secret" not in repr(settings)
