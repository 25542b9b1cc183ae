"""Every call of every service, by every kind of token, against real servers."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from authority import ISSUER, Signer, jwks
from facepass.errors import from_rpc_error, status_was_lost
from facepass.v1 import events_pb2, indexer_pb2, searcher_pb2
from google.longrunning import operations_pb2
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from common.auth.caller import Scope
from common.config import AuthSettings
from common.rpc.rules import RULES
from common.vision.fake.photos import fake_photo
from indexer.config import IndexerServerSettings, IndexerSettings
from searcher.config import SearcherServerSettings, SearcherSettings

METHODS: dict[str, MethodDescriptor] = {
    f"/{service.full_name}/{method.name}": method
    for file in (events_pb2, indexer_pb2, searcher_pb2, operations_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
SIGNER = Signer.new("one")
ALL_SCOPES = " ".join(scope.value for scope in Scope)
UNAUTHENTICATED, DENIED = (
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
)


@dataclass
class Secured:
    """Servers that ask for tokens, and what is there."""

    servers: Any
    keys: Path
    operation: str = ""
    uids: dict[str, str] = field(default_factory=dict)

    def channel(self, method: str) -> grpc.aio.Channel:
        searching = method.startswith("/facepass.v1.Searcher/")
        channel: grpc.aio.Channel = (
            self.servers.searcher_channel if searching else self.servers.indexer_channel
        )
        return channel

    async def call(self, method: str, request: Any, token: str | None) -> Any:
        """The answer, or the first one of a stream; raises AioRpcError."""
        told = METHODS[method]
        metadata = () if token is None else (("authorization", f"Bearer {token}"),)
        read = message_factory.GetMessageClass(told.output_type).FromString
        write = type(request).SerializeToString
        channel = self.channel(method)
        if not told.client_streaming:
            return await channel.unary_unary(method, write, read)(request, metadata=metadata)
        call = channel.stream_stream(method, write, read)(iter([request]), metadata=metadata)
        return [answer async for answer in call]

    async def outcome(self, method: str, request: Any, token: str | None) -> tuple[Any, str, str]:
        """Code, reason and message."""
        try:
            await self.call(method, request, token)
        except grpc.aio.AioRpcError as error:
            if status_was_lost(error):
                return await self.outcome(method, request, token)
            return error.code(), from_rpc_error(error).reason, error.details() or ""
        return grpc.StatusCode.OK, "", ""


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "jwks.json"
    path.write_bytes(jwks(SIGNER))
    return path


@pytest.fixture
async def secured(database: Any, vision: Any, serving: Any, keys: Path) -> AsyncIterator[Secured]:
    auth = AuthSettings(jwks=str(keys), issuer=ISSUER, leeway_s=0)
    index = IndexerServerSettings(listen="127.0.0.1:0", metrics_listen="")
    search = SearcherServerSettings(listen="127.0.0.1:0", metrics_listen="")
    async with serving(
        database.settings,
        vision,
        indexer_settings=IndexerSettings(auth=auth, indexer=index),
        searcher_settings=SearcherSettings(auth=auth, searcher=search),
    ) as servers:
        made = Secured(servers, keys)
        for event in ("gala", "gala-2", "wedding"):
            request = events_pb2.CreateEventRequest(event_id=event)
            answer = await made.call("/facepass.v1.Events/CreateEvent", request, SIGNER.token())
            made.uids[event] = answer.event.uid
        optimize = indexer_pb2.OptimizeEventRequest(name="events/wedding")
        operation = await made.call("/facepass.v1.Indexer/OptimizeEvent", optimize, SIGNER.token())
        made.operation = operation.name
        yield made


def request_for(method: str, event: str, secured: Secured) -> Any:
    """A request about an event, that a caller who may is answered to, or told that something in
    the event is not there."""
    request: Any = message_factory.GetMessageClass(METHODS[method].input_type)()
    for path in RULES[method].events:
        *outer, last = path.split(".")
        if outer == ["probes"]:
            continue
        holder = request
        for each in outer:
            holder = getattr(holder, each)
        within = {
            "face": f"events/{event}/photos/a/faces/1",
            "event_id": event,
            "name": f"events/{event}",
        }
        if METHODS[method].name in ("GetPhoto", "DeletePhoto"):
            within["name"] = f"events/{event}/photos/a"
        if METHODS[method].name == "DeleteFace":
            within["name"] = f"events/{event}/photos/a/faces/1"
        setattr(holder, last, within.get(last, f"events/{event}"))
    if "Operations/" in method and METHODS[method].name != "ListOperations":
        request.name = secured.operation
    return request


REFUSED = {
    "none": None,
    "wrong key": lambda: Signer.new("one").token(),
    "unknown key": lambda: Signer.new("two").token(),
    "expired": lambda: SIGNER.token(exp=int(time.time()) - 60),
    "not yet valid": lambda: SIGNER.token(nbf=int(time.time()) + 600),
    "wrong audience": lambda: SIGNER.token(aud="else"),
    "wrong issuer": lambda: SIGNER.token(iss="else"),
    "crit": lambda: SIGNER.token(headers={"crit": ["exp"]}),
    "jku": lambda: SIGNER.token(headers={"jku": "https://evil.test"}),
    "5 KB": lambda: SIGNER.token(padding="x" * 3700),
    "truncated": lambda: SIGNER.token()[:-9],
}


async def test_tokens_that_do_not_count(secured: Secured) -> None:
    for method in METHODS:
        for kind, make in REFUSED.items():
            request = request_for(method, "gala", secured)
            code, reason, _ = await secured.outcome(method, request, make and make())
            expected = "TOKEN_EXPIRED" if kind == "expired" else "UNAUTHENTICATED"
            assert (code, reason) == (UNAUTHENTICATED, expected), (method, kind)


@pytest.mark.parametrize("kilobytes", [9, 17])
async def test_tokens_beyond_what_metadata_may_be(secured: Secured, kilobytes: int) -> None:
    """gRPC refuses those from 16 KiB on, and some from 8 KiB on, before we see them."""
    token = SIGNER.token(padding="x" * int((kilobytes * 1024 - 450) * 0.75))
    for method in METHODS:
        request = request_for(method, "gala", secured)
        code, _, _ = await secured.outcome(method, request, token)
        assert code in (UNAUTHENTICATED, grpc.StatusCode.RESOURCE_EXHAUSTED), method


async def test_each_call_needs_one_of_its_scopes(secured: Secured) -> None:
    for method, rule in RULES.items():
        for scope in Scope:
            token = SIGNER.token(scope=scope.value)
            request = request_for(method, "absent", secured)
            code, reason, _ = await secured.outcome(method, request, token)
            refused = (code, reason) == (DENIED, "SCOPE_MISSING")
            assert refused == (scope not in rule.scopes), (method, scope, reason)
            assert code is not UNAUTHENTICATED
            assert reason != "PERMISSION_DENIED"


async def test_an_event_of_others_is_denied_whether_it_exists_or_not(secured: Secured) -> None:
    token = SIGNER.token(events=["gala", "gala-3*"])
    named = [method for method, rule in RULES.items() if rule.events]
    assert len(named) > 10
    for method in named:
        answers = {
            await secured.outcome(method, request_for(method, event, secured), token)
            for event in ("wedding", "gala-2", "absent")
        }
        assert len(answers) == 1, method
        assert next(iter(answers))[:2] == (DENIED, "PERMISSION_DENIED"), method
        own = "gala-3" if method.endswith("CreateEvent") else "gala"
        code, reason, _ = await secured.outcome(method, request_for(method, own, secured), token)
        assert code not in (DENIED, UNAUTHENTICATED), (method, reason)


async def test_events_are_listed_and_found_by_uid_where_they_are_the_callers(
    secured: Secured,
) -> None:
    async def listed(events: list[str]) -> list[str]:
        request, found = events_pb2.ListEventsRequest(page_size=1), []
        token = SIGNER.token(events=events)
        while True:
            page = await secured.call("/facepass.v1.Events/ListEvents", request, token)
            found += [event.name for event in page.events]
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token

    assert await listed(["*"]) == ["events/gala", "events/gala-2", "events/wedding"]
    assert await listed(["gala*"]) == ["events/gala", "events/gala-2"]
    assert await listed(["wedding", "gala-2"]) == ["events/gala-2", "events/wedding"]
    assert await listed([]) == []
    method, token = "/facepass.v1.Events/GetEvent", SIGNER.token(events=["gala"])
    own = events_pb2.GetEventRequest(uid=secured.uids["gala"])
    assert (await secured.outcome(method, own, token))[0] is grpc.StatusCode.OK
    absent = "00000000-0000-4000-8000-000000000000"
    answers = [
        (code, reason, message.replace(uid, "UID"))
        for uid in (secured.uids["wedding"], absent)
        for code, reason, message in [
            await secured.outcome(method, events_pb2.GetEventRequest(uid=uid), token)
        ]
    ]
    assert answers[0] == answers[1]
    assert answers[0][1] == "EVENT_NOT_FOUND"


async def test_operations_are_those_of_the_callers_events(secured: Secured) -> None:
    prefix = "/google.longrunning.Operations/"
    own, other = SIGNER.token(events=["wedding"]), SIGNER.token(events=["gala"])
    listing = operations_pb2.ListOperationsRequest()
    found = await secured.call(f"{prefix}ListOperations", listing, own)
    assert [each.name for each in found.operations] == [secured.operation]
    found = await secured.call(f"{prefix}ListOperations", listing, other)
    assert not found.operations
    absent = "operations/00000000-0000-4000-8000-000000000000"
    for call in ("GetOperation", "WaitOperation", "CancelOperation", "DeleteOperation"):
        request = request_for(prefix + call, "", secured)
        answer = await secured.outcome(prefix + call, request, other)
        request.name = absent
        without = await secured.outcome(prefix + call, request, other)
        assert answer[:2] == without[:2]
        assert answer[1] == "OPERATION_NOT_FOUND"
        assert answer[2].replace(secured.operation, absent) == without[2]
    request = operations_pb2.GetOperationRequest(name=secured.operation)
    assert (await secured.call(f"{prefix}GetOperation", request, own)).name == secured.operation


async def test_probes_of_other_events_and_raw_embeddings(secured: Secured) -> None:
    face = searcher_pb2.Probe(face="events/wedding/photos/a/faces/1")
    vector = searcher_pb2.Probe(embedding={"values": [1.0], "pack": "fake"})
    image = searcher_pb2.Probe(image=fake_photo([1]))
    search, compare = "/facepass.v1.Searcher/Search", "/facepass.v1.Searcher/CompareFaces"
    token = SIGNER.token(events=["gala"], scope="search")
    with_vectors = SIGNER.token(events=["gala"], scope="search embeddings")
    for probe, reason in ((face, "PERMISSION_DENIED"), (vector, "SCOPE_MISSING")):
        for method, request in (
            (search, searcher_pb2.SearchRequest(event="events/gala", probes=[image, probe])),
            (compare, searcher_pb2.CompareFacesRequest(left=probe, right=image)),
            (compare, searcher_pb2.CompareFacesRequest(left=image, right=probe)),
        ):
            assert (await secured.outcome(method, request, token))[:2] == (DENIED, reason)
    request = searcher_pb2.SearchRequest(event="events/gala", probes=[vector])
    assert (await secured.outcome(search, request, with_vectors))[0] is grpc.StatusCode.OK
    for event in ("", "gala", "events/", "events"):
        request = searcher_pb2.SearchRequest(event=event, probes=[image])
        answer = await secured.outcome(search, request, token)
        assert answer[1] == "INVALID_ARGUMENT", event


async def test_metadata_that_is_no_token(secured: Secured) -> None:
    token = SIGNER.token()
    stub = secured.servers.events.ListEvents
    for metadata in (
        (("authorization", token),),
        (("authorization", f"Basic {token}"),),
        (("authorization", "Bearer"),),
        (("authorization", f"Bearer {token}"), ("authorization", f"Bearer {token}")),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub(events_pb2.ListEventsRequest(), metadata=metadata)
        assert refused.value.code() is UNAUTHENTICATED
    await stub(events_pb2.ListEventsRequest(), metadata=(("authorization", f"bearer {token}"),))


async def test_the_log_says_why_and_never_the_token(
    secured: Secured, caplog: pytest.LogCaptureFixture
) -> None:
    token = SIGNER.token(aud="else")
    with caplog.at_level("INFO"):
        request = events_pb2.ListEventsRequest()
        _, _, message = await secured.outcome("/facepass.v1.Events/ListEvents", request, token)
        for _ in range(200):  # the answer goes first
            lines = [r for r in caplog.records if getattr(r, "reason", "") == "UNAUTHENTICATED"]
            if lines:
                break
            await asyncio.sleep(0.02)
    assert message == "the call needs a valid token"
    (line,) = lines
    assert "udience" in line.why  # type: ignore[attr-defined]
    assert token not in json.dumps([vars(r) for r in caplog.records], default=str)


async def test_health_is_public_and_reflection_is_not(secured: Secured) -> None:
    for channel in (secured.servers.indexer_channel, secured.servers.searcher_channel):
        health = health_pb2_grpc.HealthStub(channel)
        assert (await health.Check(health_pb2.HealthCheckRequest())).status == 1
        reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
        asked = [reflection_pb2.ServerReflectionRequest(list_services="")]
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            async for _ in reflection.ServerReflectionInfo(iter(asked)):
                pytest.fail("reflection is public")
        assert refused.value.code() is UNAUTHENTICATED
        metadata = (("authorization", f"Bearer {SIGNER.token(scope='', events=[])}"),)
        answers = reflection.ServerReflectionInfo(iter(asked), metadata=metadata)
        assert [answer async for answer in answers]


async def test_calls_at_a_time_do_not_see_each_others_caller(secured: Secured) -> None:
    method = "/facepass.v1.Events/ListEvents"
    tokens = {
        event: SIGNER.token(events=[event], sub=event) for event in ("gala", "gala-2", "wedding")
    }

    async def ask(event: str) -> tuple[str, list[str]]:
        page = await secured.call(method, events_pb2.ListEventsRequest(), tokens[event])
        return event, [each.name for each in page.events]

    asked = [event for _ in range(20) for event in tokens]
    for event, found in await asyncio.gather(*map(ask, asked)):
        assert found == [f"events/{event}"]


def messages(photos: int, pause: Any = None) -> Iterator[Any]:
    yield indexer_pb2.IndexPhotosRequest(config={"event": "events/gala"})
    for number in range(photos):
        yield indexer_pb2.IndexPhotosRequest(photo={"photo_id": f"p{number}"})
        content = fake_photo([number + 1])
        yield indexer_pb2.IndexPhotosRequest(chunk={"data": content, "last": True})


async def test_a_stream_is_cut_once_its_token_has_expired(secured: Secured) -> None:
    expires_s = int(time.time()) + 2
    metadata = (("authorization", f"Bearer {SIGNER.token(exp=expires_s)}"),)
    call = secured.servers.indexer.IndexPhotos(metadata=metadata)
    requests = list(messages(3))

    async def write(*some: Any) -> None:
        for each in some:
            await call.write(each)

    await write(*requests[:3])
    assert (await call.read()).result.photo_id == "p0"
    await write(requests[3])  # one that begins before and ends after
    await asyncio.sleep(expires_s - time.time() + 0.2)
    await write(requests[4])
    assert (await call.read()).result.photo_id == "p1"
    await write(requests[5])  # the next begins after
    with pytest.raises(grpc.aio.AioRpcError) as cut:
        assert await call.read() is not grpc.aio.EOF or await call
    assert from_rpc_error(cut.value).reason == "TOKEN_EXPIRED"
    listing = indexer_pb2.ListPhotosRequest(parent="events/gala")
    found = await secured.call("/facepass.v1.Indexer/ListPhotos", listing, SIGNER.token())
    assert [each.name[-2:] for each in found.photos] == ["p0", "p1"]
