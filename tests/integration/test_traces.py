"""Traces of calls, as a collector receives them."""

import asyncio
import json
import logging
import statistics
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter
from typing import Any
from urllib.request import Request, urlopen

import grpc
import pytest
from authority import ISSUER, Signer, jwks
from facepass.v1 import events_pb2, indexer_pb2, searcher_pb2
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from otlp import Received, attributes, collector, stages
from patience import PATIENCE_S
from server_process import free_ports

from common.config import AuthSettings, TraceSettings
from common.logs import JsonFormatter
from common.vision.fake.photos import fake_photo
from indexer.config import IndexerServerSettings, IndexerSettings
from searcher.config import SearcherServerSettings, SearcherSettings

TRACE, OTHER, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "1" * 32, "00f067aa0ba902b7"
EVENT, PHOTO, FILE, SUBJECT, REQUEST = "wedding-of-m", "IMG-4711", "mia.jpg", "mia-92", "mias-call"
SEARCH, INDEX = "facepass.v1.Searcher/Search", "facepass.v1.Indexer/IndexPhoto"
STREAM = "facepass.v1.Indexer/IndexPhotos"
SIGNER = Signer.new("one")
ANYBODY = AuthSettings()


IMAGE = {(stage, "image") for stage in ("queue", "decode", "detect", "embed")}


def within(trace_id: str, flags: str = "01") -> tuple[tuple[str, str], ...]:
    """What a caller sends whose span is a part of a trace."""
    return (("traceparent", f"00-{trace_id}-{PARENT}-{flags}"),)


@asynccontextmanager
async def traced(
    serving: Any,
    database: Any,
    vision: Any,
    traces: TraceSettings,
    auth: AuthSettings = ANYBODY,
) -> AsyncIterator[Any]:
    """Both servers with traces."""
    index = IndexerSettings(
        indexer=IndexerServerSettings(listen="127.0.0.1:0", metrics_listen="127.0.0.1:0"),
        traces=traces,
        auth=auth,
    )
    search = SearcherSettings(
        searcher=SearcherServerSettings(listen="127.0.0.1:0", metrics_listen="127.0.0.1:0"),
        traces=traces,
        auth=auth,
    )
    async with serving(
        database.settings, vision, indexer_settings=index, searcher_settings=search
    ) as servers:
        yield servers


def to(received: Received, **settings: Any) -> TraceSettings:
    return TraceSettings(endpoint=f"http://{received.address}", **settings)


async def create(servers: Any, metadata: Any = ()) -> None:
    request = events_pb2.CreateEventRequest(event_id=EVENT)
    await servers.events.CreateEvent(request, metadata=metadata)


def header(photo_id: str = PHOTO) -> indexer_pb2.PhotoHeader:
    return indexer_pb2.PhotoHeader(photo_id=photo_id, file_name=FILE, attributes={"name": "mia"})


def config() -> indexer_pb2.IndexPhotosConfig:
    return indexer_pb2.IndexPhotosConfig(event=f"events/{EVENT}")


async def index(servers: Any, metadata: Any = ()) -> None:
    request = indexer_pb2.IndexPhotoRequest(
        config=config(), photo=header(), content=fake_photo([1, 2])
    )
    await servers.indexer.IndexPhoto(request, metadata=metadata)


async def stream(servers: Any, photos: int, metadata: Any = ()) -> None:
    """Index so many through one stream."""
    messages = [indexer_pb2.IndexPhotosRequest(config=config())]
    for number in range(photos):
        chunk = indexer_pb2.PhotoChunk(data=fake_photo([number]), last=True)
        messages += [
            indexer_pb2.IndexPhotosRequest(photo=header(f"{PHOTO}-{number}")),
            indexer_pb2.IndexPhotosRequest(chunk=chunk),
        ]
    answers = servers.indexer.IndexPhotos(iter(messages), metadata=metadata)
    assert len([answer async for answer in answers]) == photos


async def search(servers: Any, metadata: Any = ()) -> searcher_pb2.SearchResponse:
    probe = searcher_pb2.Probe(image=fake_photo([1]))
    request = searcher_pb2.SearchRequest(event=f"events/{EVENT}", probes=[probe])
    return await servers.searcher.Search(request, metadata=metadata)  # type: ignore[no-any-return]


async def search_in_memory(servers: Any) -> None:
    """Search until the event's gallery is there."""
    async with asyncio.timeout(PATIENCE_S):
        while (await search(servers)).source != searcher_pb2.SEARCH_SOURCE_MEMORY:
            pass


async def test_a_search_tells_its_stages_in_the_callers_trace(
    serving: Any, database: Any, vision: Any
) -> None:
    async with (
        collector() as received,
        traced(serving, database, vision, to(received, sample_ratio=0)) as servers,
    ):
        await create(servers)
        await index(servers)
        await search(servers, within(OTHER))
        await search_in_memory(servers)
        await search(servers, within(TRACE))
    cold, hot = received.of(OTHER), received.of(TRACE)
    both = IMAGE | {(SEARCH, ""), ("matches", "gallery")}
    both |= {(stage, SEARCH) for stage in ("request", "event", "image", "gallery")}
    assert stages(cold) == both | {("event", "gallery"), ("scan", "gallery")}
    assert stages(hot) == both | {("memory", "gallery")}
    (root,) = (span for span in hot if span.name == SEARCH)
    assert (root.parent_span_id.hex(), root.kind) == (PARENT, Span.SPAN_KIND_SERVER)
    assert attributes(root) == {
        "rpc.system": "grpc",
        "rpc.service": "facepass.v1.Searcher",
        "rpc.method": "Search",
        "rpc.grpc.status_code": 0,
    }
    for span in hot:
        assert root.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
    (memory,) = (span for span in hot if span.name == "memory")
    assert attributes(memory) == {"facepass.faces": 2}


async def test_a_photo_tells_its_stages_in_the_callers_trace(
    serving: Any, database: Any, vision: Any
) -> None:
    async with (
        collector() as received,
        traced(serving, database, vision, to(received, sample_ratio=0)) as servers,
    ):
        await create(servers)
        await index(servers, within(TRACE))
    found = received.of(TRACE)
    below = {(stage, INDEX) for stage in ("request", "known", "image", "commit")}
    assert stages(found) == IMAGE | {(INDEX, "")} | below
    (root,) = (span for span in found if span.name == INDEX)
    assert root.parent_span_id.hex() == PARENT
    told = attributes(root)
    assert (told["facepass.state"], told["facepass.faces"]) == ("INDEXED", 2)
    assert told["facepass.bytes"] == len(fake_photo([1, 2]))


async def test_photos_of_a_stream_are_traces_of_their_own(
    serving: Any, database: Any, vision: Any
) -> None:
    """A stream may last for hours: nobody could look at one trace of all its photos."""
    async with (
        collector() as received,
        traced(serving, database, vision, to(received)) as servers,
    ):
        await create(servers)
        await stream(servers, 5, within(TRACE))
    (whole,) = received.named(STREAM)
    photos = received.named("photo")
    assert len({photo.trace_id for photo in photos}) == 5
    for photo in photos:
        (link,) = photo.links
        assert (link.trace_id, link.span_id) == (whole.trace_id, whole.span_id)
        assert photo.parent_span_id == b""
        below = {(stage, "photo") for stage in ("known", "image", "commit")}
        assert stages(received.of(photo.trace_id.hex())) == IMAGE | {("photo", "")} | below
    assert stages(received.of(TRACE)) == {(STREAM, ""), ("request", STREAM)}


async def test_nothing_of_anybody_is_in_a_span(
    serving: Any, database: Any, vision: Any, tmp_path: Path
) -> None:
    keys = tmp_path / "keys.json"
    keys.write_bytes(jwks(SIGNER))
    token = SIGNER.token(sub=SUBJECT)
    said = (("authorization", f"Bearer {token}"), ("x-request-id", REQUEST))
    auth = AuthSettings(jwks=str(keys), issuer=ISSUER)
    async with (
        collector() as received,
        traced(serving, database, vision, to(received), auth) as servers,
    ):
        await create(servers, said)
        await index(servers, said)
        await stream(servers, 2, said)
        answer = await search(servers, said)
        with pytest.raises(grpc.aio.AioRpcError):
            await create(servers, said)
        event = await servers.events.GetEvent(
            events_pb2.GetEventRequest(name=f"events/{EVENT}"), metadata=said
        )
    assert {INDEX, STREAM, SEARCH, "photo"} <= {span.name for span in received.spans}
    (failed,) = (
        s for s in received.spans if attributes(s).get("error.type") == "EVENT_ALREADY_EXISTS"
    )
    assert failed.status.code == Status.STATUS_CODE_UNSET, "it is the caller's"
    everything = b"".join(request.SerializeToString() for request in received.requests)
    of_somebody = [EVENT, PHOTO, FILE, SUBJECT, REQUEST, "mia", token, event.event.uid]
    assert answer.matches
    assert [each for each in of_somebody if each.encode() in everything] == []
    kinds = {type(value) for span in received.spans for value in attributes(span).values()}
    assert float in kinds, "megapixels"
    floats = {
        key for span in received.spans for key, v in attributes(span).items() if type(v) is float
    }
    assert floats == {"facepass.megapixels"}, "no similarity"


async def test_what_is_not_sampled_is_not_sent(serving: Any, database: Any, vision: Any) -> None:
    async with (
        collector() as received,
        traced(serving, database, vision, to(received, sample_ratio=0)) as servers,
    ):
        await create(servers)
        await index(servers)
        await search(servers)
        await stream(servers, 2)
        await search(servers, within(TRACE, flags="00"))
        # What would come, would come with this at the latest.
        await search(servers, within(OTHER))
    assert {span.trace_id.hex() for span in received.spans} == {OTHER}


async def test_logs_and_metrics_name_the_trace(
    serving: Any, database: Any, vision: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.handler.setFormatter(JsonFormatter())
    caplog.set_level(logging.INFO)
    async with (
        collector() as received,
        traced(serving, database, vision, to(received, sample_ratio=0)) as servers,
    ):
        await create(servers)
        await index(servers, within(TRACE))
        plain, told = await asyncio.gather(
            *(asyncio.to_thread(scrape, servers.indexer_server, each) for each in ("", OPEN))
        )
    lines = [json.loads(line) for line in caplog.text.splitlines()]
    of_call = [line for line in lines if line.get("method") == f"/{INDEX}"]
    photo = [line for line in lines if line.get("action") == "photo_answered"]
    assert [line["trace_id"] for line in [*of_call, *photo]] == [TRACE, TRACE]
    assert sum("trace_id" in line for line in lines) == 2, "others have none"
    exemplars = [line for line in told.splitlines() if TRACE in line]
    assert len(exemplars) == 1 and exemplars[0].startswith("facepass_rpc_seconds_bucket")
    assert f'method="/{INDEX}"' in exemplars[0]
    assert TRACE not in plain


OPEN = "application/openmetrics-text; version=1.0.0"


def scrape(server: Any, accept: str) -> str:
    request = Request(f"http://127.0.0.1:{server.metrics_port}/metrics", headers={"Accept": accept})
    with urlopen(request, timeout=PATIENCE_S) as answer:
        return str(answer.read().decode())


@pytest.mark.slow
async def test_calls_do_not_wait_for_a_collector_that_is_away(
    serving: Any, database: Any, vision: Any
) -> None:
    (port,) = free_ports(1)
    away = TraceSettings(endpoint=f"http://127.0.0.1:{port}")
    async with (
        serving(database.settings, vision) as plain,
        traced(serving, database, vision, away) as servers,
    ):
        await create(servers)
        await index(servers)
        times: dict[Any, list[float]] = {plain: [], servers: []}
        for each in times:
            await search_in_memory(each)
        for _ in range(40):
            for each, taken in times.items():
                started = perf_counter()
                assert (await search(each)).matches
                taken.append(perf_counter() - started)
    assert statistics.median(times[servers]) < 2 * statistics.median(times[plain])
