"""Requests that nobody honest sends: each is answered, and told which of its fields is wrong."""

import asyncio
import math
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import grpc
import pytest
from facepass.v1 import events_pb2, indexer_pb2, searcher_pb2, types_pb2
from facepass.v1.indexer_pb2_grpc import IndexerStub
from google.longrunning import operations_pb2
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2
from grpc_status import rpc_status  # type: ignore[import-untyped]
from odd_messages import METHODS, has_field, odd

from common.paging import encode_token, fingerprint
from common.vision.fake.engine import FakeEngine
from common.vision.fake.photos import fake_photo

pytestmark = pytest.mark.takes(20)

ROUNDS = 40
PACK = FakeEngine().pack
DEFINITE = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.ABORTED,
}


@pytest.fixture
async def gala(shared_servers: Any) -> Any:
    """An event with a photo of one face, whatever became of that of an earlier test."""
    servers = shared_servers
    with suppress(grpc.aio.AioRpcError):
        await servers.events.DeleteEvent(events_pb2.DeleteEventRequest(name="events/gala"))
    await servers.events.CreateEvent(events_pb2.CreateEventRequest(event_id="gala"))
    await servers.indexer.IndexPhoto(
        indexer_pb2.IndexPhotoRequest(
            config=indexer_pb2.IndexPhotosConfig(event="events/gala"),
            photo=indexer_pb2.PhotoHeader(photo_id="p"),
            content=fake_photo([3]),
        )
    )
    return servers


def caller(servers: Any, method: MethodDescriptor) -> Callable[..., Any]:
    service = method.containing_service
    assert service is not None
    searching = service.name == "Searcher"
    channel = servers.searcher_channel if searching else servers.indexer_channel
    call: Callable[..., Any] = channel.unary_unary(
        f"/{service.full_name}/{method.name}",
        request_serializer=GetMessageClass(method.input_type).SerializeToString,
        response_deserializer=GetMessageClass(method.output_type).FromString,
    )
    return call


async def refusal(call: Any) -> tuple[grpc.StatusCode, str, str]:
    """Code, reason and field of a call's error; OK where there is none."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return told_by(error)
    return grpc.StatusCode.OK, "", ""


def told_by(error: Any) -> tuple[grpc.StatusCode, str, str]:
    reason = field = ""
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        if detail.Unpack(info):
            reason = info.reason
        elif detail.Unpack(bad):
            field = bad.field_violations[0].field
    return error.code(), reason, field


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
async def test_whatever_a_request_holds_it_is_answered(gala: Any, method: MethodDescriptor) -> None:
    """Never INTERNAL, never a hang; INVALID_ARGUMENT names a field that there is."""
    call = caller(gala, method)
    for seed in range(ROUNDS):
        request = odd(method.input_type, random.Random(f"{method.name} {seed}"))
        code, reason, field = await refusal(call(request, timeout=20))
        if code is grpc.StatusCode.OK:
            continue
        assert code in DEFINITE, (seed, code, reason)
        assert reason, seed
        if reason == "INVALID_ARGUMENT":
            assert has_field(method.input_type, field), (seed, field)
    alive = gala.events.GetEvent(events_pb2.GetEventRequest(name="events/nowhere"))
    assert (await refusal(alive))[0] is grpc.StatusCode.NOT_FOUND


async def test_whatever_a_stream_holds_it_is_answered(gala: Any) -> None:
    for seed in range(ROUNDS):
        choice = random.Random(seed)
        kind = indexer_pb2.IndexPhotosRequest.DESCRIPTOR
        config = indexer_pb2.IndexPhotosConfig(event="events/gala")
        stream = [indexer_pb2.IndexPhotosRequest(config=config)] * choice.randint(0, 1)
        stream += [odd(kind, choice) for _ in range(6)]
        code, reason, field = await asyncio.to_thread(drained, gala.indexer_address, stream)
        if reason == "INVALID_ARGUMENT":
            assert has_field(kind, field), (seed, field)
        assert code in DEFINITE | {grpc.StatusCode.OK}, (seed, code, reason)


def drained(address: str, stream: Sequence[Any]) -> tuple[grpc.StatusCode, str, str]:
    """As `refusal`, of a whole stream. Without asyncio, whose client forgets the server's answer
    where it is just about to send more."""
    with grpc.insecure_channel(address) as channel:
        try:
            for _ in IndexerStub(channel).IndexPhotos(iter(stream), timeout=20):
                pass
        except grpc.RpcError as error:
            return told_by(error)
    return grpc.StatusCode.OK, "", ""


def embedding(*values: float, pack: str = PACK.key) -> searcher_pb2.Probe:
    return searcher_pb2.Probe(embedding=types_pb2.Embedding(values=values, pack=pack))


UNIT = (1.0, *(0.0,) * (PACK.dimension - 1))


@pytest.mark.parametrize(
    ("probe", "field"),
    [
        pytest.param(searcher_pb2.Probe(), "probes[0]", id="empty"),
        pytest.param(embedding(), "probes[0].embedding.values", id="no numbers"),
        pytest.param(embedding(*(0.0,) * len(UNIT)), "probes[0].embedding.values", id="length 0"),
        pytest.param(embedding(1.0), "probes[0].embedding.values", id="one number"),
        pytest.param(embedding(*UNIT, 0.0), "probes[0].embedding.values", id="one too many"),
        pytest.param(embedding(math.nan, *UNIT[1:]), "probes[0].embedding.values", id="NaN"),
        pytest.param(embedding(math.inf, *UNIT[1:]), "probes[0].embedding.values", id="infinity"),
        pytest.param(embedding(*(3e38,) * len(UNIT)), "probes[0].embedding.values", id="enormous"),
        pytest.param(embedding(*UNIT, pack=""), "probes[0].embedding.pack", id="no pack"),
        pytest.param(embedding(*UNIT, pack="a" * 99_999), "probes[0].embedding.pack", id="endless"),
        pytest.param(embedding(*UNIT, pack="\0"), "probes[0].embedding.pack", id="NUL"),
        pytest.param(searcher_pb2.Probe(face="events/gala"), "probes[0].face", id="no face"),
        pytest.param(
            searcher_pb2.Probe(image=fake_photo([3]), face_index=-1), "probes[0].face_index",
            id="negative index",
        ),
    ],
)  # fmt: skip
async def test_a_malformed_probe_is_told_its_field(
    gala: Any, probe: searcher_pb2.Probe, field: str
) -> None:
    request = searcher_pb2.SearchRequest(event="events/gala", probes=[probe])
    told = await refusal(gala.searcher.Search(request))
    assert told == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT", field)


async def test_as_many_numbers_as_fit_into_a_message(gala: Any) -> None:
    """They cost no more than reading them."""
    request = searcher_pb2.SearchRequest(
        event="events/gala", probes=[embedding(*(0.001,) * 1_000_000)]
    )
    told = await asyncio.wait_for(refusal(gala.searcher.Search(request)), 20)
    assert told[2] == "probes[0].embedding.values"


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        pytest.param(
            "ListPhotos",
            indexer_pb2.ListPhotosRequest(
                parent="events/gala",
                page_token=encode_token(fingerprint("ListPhotos", "events/gala", 0), [2**40]),
            ),
            id="a photo of no number",
        ),
        pytest.param(
            "ListEvents",
            events_pb2.ListEventsRequest(
                page_token=encode_token(fingerprint("ListEvents"), ["\0"])
            ),
            id="an event of no name",
        ),
        pytest.param(
            "ListOperations",
            operations_pb2.ListOperationsRequest(
                page_token=encode_token(fingerprint("ListOperations"), ["nothing"])
            ),
            id="an operation of no number",
        ),
        pytest.param(
            "ListEvents", events_pb2.ListEventsRequest(page_token="W1tb" * 30_000), id="endless"
        ),
    ],
)
async def test_a_forged_page_token_is_refused(gala: Any, method: str, request_: Any) -> None:
    call = caller(gala, next(each for each in METHODS if each.name == method))
    told = await refusal(call(request_))
    assert told == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT", "page_token")


async def test_a_field_mask_of_anything(gala: Any) -> None:
    """Its text does not come back: what a status may hold is less than what a mask may."""
    request = events_pb2.UpdateEventRequest(event=events_pb2.Event(name="events/gala"))
    request.update_mask.paths.append("a" * 1_000_000)
    told = await refusal(gala.events.UpdateEvent(request))
    assert told == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT", "update_mask")
    request.update_mask.paths[:] = ["display_name"] * 500_000
    assert (await refusal(gala.events.UpdateEvent(request)))[0] is grpc.StatusCode.OK
