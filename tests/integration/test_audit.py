"""Each call leaves exactly one line in the audit: who, what, which event, how much, and whether."""

import asyncio
import base64
import hashlib
import json
import logging
import math
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from authority import ISSUER, Signer, jwks
from facepass.v1 import events_pb2, searcher_pb2, types_pb2
from facepass.v1 import indexer_pb2 as pb
from google.longrunning import operations_pb2, operations_pb2_grpc
from google.protobuf.message_factory import GetMessageClass
from odd_messages import SERVICES
from record import Line, in_file, in_table, until
from sensitive import found_in

from common.config import AuditSettings, AuthSettings
from common.logs import JsonFormatter
from common.vision.fake.photos import fake_photo
from indexer.config import IndexerServerSettings, IndexerSettings
from searcher.config import SearcherServerSettings, SearcherSettings

GALA = "events/gala"
PHOTO = fake_photo([1, 2])
CALLERS = 30
SECRET_NAME = "anna-und-ben-kuessen.jpg"


def settings(**audit: Any) -> dict[str, Any]:
    """For both servers."""
    free: dict[str, Any] = {"listen": "127.0.0.1:0", "metrics_listen": "127.0.0.1:0"}
    told = AuditSettings(**audit)
    return {
        "indexer_settings": IndexerSettings(indexer=IndexerServerSettings(**free), audit=told),
        "searcher_settings": SearcherSettings(searcher=SearcherServerSettings(**free), audit=told),
    }


async def indexed(servers: Any, *ids: str, event: str = GALA) -> list[pb.IndexPhotosResponse]:
    """Photos of two people each, in one stream."""

    async def requests() -> Any:
        yield pb.IndexPhotosRequest(config=pb.IndexPhotosConfig(event=event))
        for photo_id in ids:
            header = pb.PhotoHeader(photo_id=photo_id, file_name=SECRET_NAME)
            yield pb.IndexPhotosRequest(photo=header)
            yield pb.IndexPhotosRequest(chunk=pb.PhotoChunk(data=PHOTO, last=True))

    return [each async for each in servers.indexer.IndexPhotos(requests())]


def search(*people: int, event: str = GALA) -> searcher_pb2.SearchRequest:
    probes = [searcher_pb2.Probe(image=fake_photo([person])) for person in people]
    return searcher_pb2.SearchRequest(event=event, probes=probes)


async def every_call(servers: Any) -> None:
    """Each RPC once or more, in this order, some of them in vain."""
    events, indexer, searcher = servers.events, servers.indexer, servers.searcher
    event = (await events.CreateEvent(events_pb2.CreateEventRequest(event_id="gala"))).event
    await events.GetEvent(events_pb2.GetEventRequest(uid=event.uid))
    await events.ListEvents(events_pb2.ListEventsRequest())
    change = events_pb2.Event(name=GALA, display_name="Gala")
    await events.UpdateEvent(events_pb2.UpdateEventRequest(event=change))
    results = await indexed(servers, "a", "b", "b")
    config, bad = pb.IndexPhotosConfig(event=GALA), pb.PhotoHeader(photo_id="c")
    await indexer.IndexPhoto(pb.IndexPhotoRequest(config=config, photo=bad, content=b"no image"))
    face = next(r.result.photo.faces[0].name for r in results if r.result.photo.faces)
    await indexer.GetPhoto(pb.GetPhotoRequest(name=f"{GALA}/photos/a"))
    await indexer.ListPhotos(pb.ListPhotosRequest(parent=GALA))
    await searcher.Search(search(1, 1))
    await searcher.CompareFaces(
        searcher_pb2.CompareFacesRequest(
            left=searcher_pb2.Probe(face=face), right=searcher_pb2.Probe(image=fake_photo([9]))
        )
    )
    await searcher.EvaluateSelfie(searcher_pb2.EvaluateSelfieRequest(image=fake_photo([1])))
    operation = await indexer.OptimizeEvent(pb.OptimizeEventRequest(name=GALA))
    stub = operations_pb2_grpc.OperationsStub(servers.indexer_channel)
    await stub.GetOperation(operations_pb2.GetOperationRequest(name=operation.name))
    await indexer.DeleteFace(pb.DeleteFaceRequest(name=face))
    dry = pb.DeletePhotoRequest(name=f"{GALA}/photos/b", validate_only=True)
    await indexer.DeletePhoto(dry)
    with pytest.raises(grpc.aio.AioRpcError):
        await searcher.Search(search(1, event="events/other"))
    with pytest.raises(grpc.aio.AioRpcError):
        await indexed(servers, "a", event="events/other")
    await events.DeleteEvent(events_pb2.DeleteEventRequest(name=GALA))


EXPECTED = [
    ("CreateEvent", ["gala"], "OK", {}),
    ("GetEvent", ["gala"], "OK", {}),
    ("ListEvents", [], "OK", {"events": 1}),
    ("UpdateEvent", ["gala"], "OK", {}),
    ("IndexPhotos", ["gala"], "OK", {"photos": 3, "indexed": 2, "duplicate": 1, "faces": 4}),
    ("IndexPhoto", ["gala"], "OK", {"photos": 1, "rejected": 1}),
    ("GetPhoto", ["gala"], "OK", {"photos": 1, "faces": 2}),
    ("ListPhotos", ["gala"], "OK", {"photos": 3, "faces": 4}),
    ("Search", ["gala"], "OK", {"probes": 2, "usable": 2, "matches": 2}),
    ("CompareFaces", ["gala"], "OK", {"probes": 2, "usable": 2, "matches": 0}),
    ("EvaluateSelfie", [], "OK", {"probes": 1, "usable": 1}),
    ("OptimizeEvent", ["gala"], "OK", {}),
    ("GetOperation", ["gala"], "OK", {}),
    ("DeleteFace", ["gala"], "OK", {"faces": 1, "validated_only": 0}),
    ("DeletePhoto", ["gala"], "OK", {"photos": 1, "validated_only": 1}),
    ("Search", ["other"], "NOT_FOUND", {}),
    ("IndexPhotos", ["other"], "NOT_FOUND", {}),
    ("DeleteEvent", ["gala"], "OK", {"photos": 3, "faces": 3, "validated_only": 0}),
]


def told(lines: list[Line]) -> list[tuple[Any, ...]]:
    """What to compare: sizes, and how the faces of a photo fall to its copies, are left out."""
    left_out = {"DeletePhoto": {"faces"}}
    return sorted(
        (
            method := line["method"].rpartition("/")[2],
            line["events"],
            line["code"],
            {
                k: v
                for k, v in line["counts"].items()
                if k != "bytes" and k not in left_out.get(method, ())
            },
        )
        for line in lines
    )


async def test_each_call_leaves_one_line(
    database: Any, vision: Any, serving: Any, tmp_path: Path
) -> None:
    file = tmp_path / "audit.jsonl"
    async with serving(database.settings, vision, **settings(file=str(file))) as servers:
        await every_call(servers)
    lines, rows = in_file(file), await in_table(database.owner_dsn)
    assert told(lines) == sorted(EXPECTED)
    assert told(rows) == sorted(EXPECTED)
    assert {(line["number"], line["request_id"]) for line in lines} == {
        (row["number"], row["request_id"]) for row in rows
    }
    numbers = Counter(line["writer"] for line in lines)
    assert {(w, n) for w, most in numbers.items() for n in range(1, most + 1)} == {
        (line["writer"], line["number"]) for line in lines
    }


async def test_no_method_is_forgotten(
    database: Any, vision: Any, serving: Any, tmp_path: Path
) -> None:
    """Every method that the servers have leaves one line, whatever it is asked."""
    file = tmp_path / "audit.jsonl"
    methods = [method for service in SERVICES for method in service.methods]
    async with serving(database.settings, vision, **settings(file=str(file))) as servers:
        for method in methods:
            on_searcher = method.containing_service.name == "Searcher"
            channel = servers.searcher_channel if on_searcher else servers.indexer_channel
            name = f"/{method.containing_service.full_name}/{method.name}"
            make = channel.stream_stream if method.client_streaming else channel.unary_unary
            call = make(name, lambda message: message.SerializeToString(), bytes)
            request = GetMessageClass(method.input_type)()
            try:
                if method.client_streaming:
                    assert [answer async for answer in call(iter([request]))] == []
                else:
                    await call(request)
            except grpc.aio.AioRpcError as error:
                assert error.code() is not grpc.StatusCode.UNIMPLEMENTED
    wanted = Counter(f"{m.containing_service.full_name}/{m.name}" for m in methods)
    assert Counter(line["method"] for line in in_file(file)) == wanted


async def test_who_called_is_told_and_from_where_only_when_asked(
    database: Any, vision: Any, serving: Any, tmp_path: Path
) -> None:
    signer = Signer.new("one")
    (tmp_path / "jwks.json").write_bytes(jwks(signer))
    auth = AuthSettings(jwks=str(tmp_path / "jwks.json"), issuer=ISSUER)
    token = signer.token(sub="tickets", scope="search")
    for name, peer in (("quiet", False), ("telling", True)):
        file = tmp_path / name
        asked = {
            which: each.model_copy(update={"auth": auth})
            for which, each in settings(file=str(file), peer=peer).items()
        }
        async with serving(database.settings, vision, **asked) as servers:
            for shown in (token, "forged"):
                metadata = [("x-request-id", "r1"), ("authorization", f"Bearer {shown}")]
                with suppress(grpc.aio.AioRpcError):
                    await servers.events.ListEvents(
                        events_pb2.ListEventsRequest(), metadata=metadata
                    )
        allowed, denied = in_file(file)
        assert (allowed["subject"], allowed["decision"]) == ("tickets", "allowed")
        assert (denied["subject"], denied["decision"]) == ("", "denied")
        assert denied["reason"] == "UNAUTHENTICATED"
        assert allowed["request_id"] == "r1"
        assert allowed["peer"].startswith("ipv4:127.0.0.1:") == peer
        assert bool(allowed["peer"]) == peer
    subjects = [row["subject"] for row in await in_table(database.owner_dsn)]
    assert subjects == ["tickets", ""] * 2


async def test_refused_calls_are_told_apart(
    database: Any, vision: Any, serving: Any, tmp_path: Path
) -> None:
    file = tmp_path / "audit.jsonl"
    asked = settings(file=str(file))
    block = asked["searcher_settings"].searcher.model_copy(update={"max_searches": 1})
    asked["searcher_settings"] = asked["searcher_settings"].model_copy(update={"searcher": block})
    async with serving(database.settings, vision, **asked) as servers:
        await servers.events.CreateEvent(events_pb2.CreateEventRequest(event_id="gala"))
        calls = [servers.searcher.Search(search(1)) for _ in range(40)]
        answers = await asyncio.gather(*calls, return_exceptions=True)
    lines = [line for line in in_file(file) if line["method"].endswith("/Search")]
    answered = sum(not isinstance(answer, Exception) for answer in answers)
    decisions = Counter((line["decision"], line["reason"], line["limit"]) for line in lines)
    assert 1 <= answered < 40
    assert decisions == {
        ("allowed", "", ""): answered,
        ("refused", "OVERLOADED", "searches"): 40 - answered,
    }


async def test_concurrent_calls_keep_their_counts_apart(
    database: Any, vision: Any, serving: Any, tmp_path: Path
) -> None:
    file = tmp_path / "audit.jsonl"
    asked = settings(file=str(file))
    block = asked["searcher_settings"].searcher.model_copy(update={"max_searches": 100})
    asked["searcher_settings"] = asked["searcher_settings"].model_copy(update={"searcher": block})
    async with serving(database.settings, vision, **asked) as servers:
        await servers.events.CreateEvent(events_pb2.CreateEventRequest(event_id="gala"))
        await asyncio.gather(
            indexed(servers, *"abc"),
            indexed(servers, *"defgh"),
            *(servers.searcher.Search(search(*[7] * (1 + n % 3))) for n in range(30)),
        )
    lines = in_file(file)
    probes = Counter(line["counts"].get("probes") for line in lines)
    assert (probes[1], probes[2], probes[3]) == (10, 10, 10)
    streams = [line["counts"] for line in lines if line["method"].endswith("/IndexPhotos")]
    assert sorted((each["photos"], each["faces"]) for each in streams) == [(3, 6), (5, 10)]


async def test_a_caller_who_leaves_is_told(
    database: Any, vision: Any, serving: Any, tmp_path: Path
) -> None:
    file = tmp_path / "audit.jsonl"
    async with serving(database.settings, vision, **settings(file=str(file))) as servers:
        await servers.events.CreateEvent(events_pb2.CreateEventRequest(event_id="gala"))

        async def leave(photo_id: str) -> None:
            stream = servers.indexer.IndexPhotos()
            await stream.write(pb.IndexPhotosRequest(config=pb.IndexPhotosConfig(event=GALA)))
            await stream.write(pb.IndexPhotosRequest(photo=pb.PhotoHeader(photo_id=photo_id)))
            chunk = pb.PhotoChunk(data=PHOTO, last=True)
            await stream.write(pb.IndexPhotosRequest(chunk=chunk))
            await stream.read()
            stream.cancel()

        await asyncio.gather(*(leave(f"photo-{n}") for n in range(CALLERS)))
        lines = await until(lambda: in_file(file), 1 + CALLERS)
    left = [line for line in lines if line["method"].endswith("/IndexPhotos")]
    assert {line["code"] for line in left} == {"CANCELLED"}
    told = [(line["events"], line["counts"]["photos"]) for line in left]
    assert told == [(["gala"], 1)] * CALLERS


async def test_nothing_sensitive_is_written_down(
    database: Any,
    vision: Any,
    serving: Any,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.handler.setFormatter(JsonFormatter())
    file = tmp_path / "audit.jsonl"
    with caplog.at_level(logging.DEBUG):
        asked = settings(file=str(file), peer=True)
        async with serving(database.settings, vision, **asked) as servers:
            await every_call(servers)
            vector = types_pb2.Embedding(values=[1 / math.sqrt(512)] * 512, pack="other")
            probes = [searcher_pb2.Probe(embedding=vector)]
            request = searcher_pb2.SearchRequest(event=f"{GALA}/{SECRET_NAME}", probes=probes)
            with pytest.raises(grpc.aio.AioRpcError):
                await servers.searcher.Search(
                    request, metadata=[("authorization", "Bearer eyJhbGciOiJI.eyJzdWIiOiJ4.c2ln")]
                )
    rows = [str({**row}) for row in await in_table(database.owner_dsn)]
    written = [*file.read_text().splitlines(), *rows, *caplog.text.splitlines()]
    assert len(written) > 60
    assert {line: found_in(line) for line in written if found_in(line)} == {}


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("name of a file", f"photo {SECRET_NAME} answered"),
        ("token", '"eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ0aWNrZXRzIn0.c2lnbmF0dXJl"'),
        ("token", "authorization: Bearer x"),
        ("vector", json.dumps([0.123456, -0.5, 0.25, 1e-05, -0.125, 0.0625, 0.03125, 0.5])),
        ("vector", str([float(x) for x in range(10)])),
        ("bytes", repr(PHOTO)),
        ("bytes", json.dumps(PHOTO.decode("latin-1"))),
        ("image", base64.b64encode(PHOTO).decode()),
        ("blob", base64.b64encode(hashlib.sha512(PHOTO).digest()).decode()),
    ],
)
def test_the_look_for_it_finds_it(kind: str, text: str) -> None:
    assert kind in found_in(text)
