"""Events over real sockets and a real database."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import grpc
import pytest
from facepass.v1 import events_pb2 as pb
from facepass.v1 import types_pb2
from google.rpc import error_details_pb2
from grpc_status import rpc_status  # type: ignore[import-untyped]


def reason_of(error: grpc.aio.AioRpcError) -> str:
    """The one ErrorInfo of an error."""
    infos = []
    for detail in rpc_status.from_call(error).details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            assert info.domain == "facepass"
            infos.append(info.reason)
    assert len(infos) == 1
    return str(infos[0])


async def test_an_event_is_created_read_changed_listed_and_deleted(servers: Any) -> None:
    start = datetime(2026, 6, 1, 12, tzinfo=UTC)
    event = pb.Event(display_name="Wedding", location="Lake", settings={"min_similarity": 0.5})
    event.start_time.FromDatetime(start)
    made = (
        await servers.events.CreateEvent(pb.CreateEventRequest(event_id="wedding", event=event))
    ).event
    assert made.name == "events/wedding"
    assert made.settings.quality_filter == types_pb2.QUALITY_FILTER_AUTO
    assert made.settings.min_similarity == 0.5
    assert made.start_time.ToDatetime(tzinfo=UTC) == start
    assert not made.HasField("expiration")

    for key in ({"name": made.name}, {"uid": made.uid}):
        assert (await servers.events.GetEvent(pb.GetEventRequest(**key))).event == made

    change = pb.Event(name=made.name, etag=made.etag, display_name="Party", location="ignored")
    changed = (
        await servers.events.UpdateEvent(
            pb.UpdateEventRequest(event=change, update_mask={"paths": ["display_name", "settings"]})
        )
    ).event
    assert (changed.display_name, changed.location) == ("Party", "Lake")
    assert changed.settings.min_similarity == 0
    assert changed.etag != made.etag

    with pytest.raises(grpc.aio.AioRpcError) as stale:
        await servers.events.DeleteEvent(pb.DeleteEventRequest(name=made.name, etag=made.etag))
    assert stale.value.code() is grpc.StatusCode.ABORTED
    assert reason_of(stale.value) == "ETAG_MISMATCH"

    await servers.events.DeleteEvent(pb.DeleteEventRequest(name=made.name, validate_only=True))
    assert [e.name for e in (await servers.events.ListEvents(pb.ListEventsRequest())).events] == [
        made.name
    ]
    await servers.events.DeleteEvent(pb.DeleteEventRequest(name=made.name))
    with pytest.raises(grpc.aio.AioRpcError) as gone:
        await servers.events.GetEvent(pb.GetEventRequest(name=made.name))
    assert gone.value.code() is grpc.StatusCode.NOT_FOUND
    assert reason_of(gone.value) == "EVENT_NOT_FOUND"


async def test_a_creation_may_be_repeated_with_its_request_id(servers: Any) -> None:
    request = pb.CreateEventRequest(event_id="gala", request_id=str(uuid4()))
    first = await servers.events.CreateEvent(request)
    assert await servers.events.CreateEvent(request) == first

    request.event.display_name = "other"
    with pytest.raises(grpc.aio.AioRpcError) as mismatch:
        await servers.events.CreateEvent(request)
    assert reason_of(mismatch.value) == "IDEMPOTENCY_MISMATCH"

    with pytest.raises(grpc.aio.AioRpcError) as taken:
        await servers.events.CreateEvent(pb.CreateEventRequest(event_id="gala"))
    assert taken.value.code() is grpc.StatusCode.ALREADY_EXISTS
    assert reason_of(taken.value) == "EVENT_ALREADY_EXISTS"


async def test_a_name_that_is_used_again_is_another_event(servers: Any) -> None:
    request = pb.CreateEventRequest(event_id="gala")
    first = (await servers.events.CreateEvent(request)).event
    await servers.events.DeleteEvent(pb.DeleteEventRequest(name=first.name))
    second = (await servers.events.CreateEvent(request)).event
    assert second.uid != first.uid
    with pytest.raises(grpc.aio.AioRpcError) as gone:
        await servers.events.GetEvent(pb.GetEventRequest(uid=first.uid))
    assert reason_of(gone.value) == "EVENT_NOT_FOUND"


async def test_events_are_listed_by_name_in_pages(servers: Any) -> None:
    names = [f"e{i}" for i in range(7)]
    for name in reversed(names):
        await servers.events.CreateEvent(pb.CreateEventRequest(event_id=name))
    listed, token, pages = [], "", 0
    while pages == 0 or token:
        page = await servers.events.ListEvents(pb.ListEventsRequest(page_size=3, page_token=token))
        listed += [event.name for event in page.events]
        token, pages = page.next_page_token, pages + 1
    assert listed == [f"events/{name}" for name in names]
    assert pages == 3


async def test_an_expired_event_is_gone_and_its_name_is_free(servers: Any, database: Any) -> None:
    import asyncpg

    made = (
        await servers.events.CreateEvent(
            pb.CreateEventRequest(event_id="short", event={"ttl": timedelta(hours=1)})
        )
    ).event
    assert made.WhichOneof("expiration") == "expire_time"
    owner = await asyncpg.connect(database.owner_dsn)
    await owner.execute("UPDATE event SET expire_time = now() - interval '1 second'")
    await owner.close()

    with pytest.raises(grpc.aio.AioRpcError) as gone:
        await servers.events.GetEvent(pb.GetEventRequest(name=made.name))
    assert reason_of(gone.value) == "EVENT_NOT_FOUND"
    assert not (await servers.events.ListEvents(pb.ListEventsRequest())).events
    again = await servers.events.CreateEvent(pb.CreateEventRequest(event_id="short"))
    assert again.event.uid != made.uid


@pytest.mark.parametrize(
    ("method", "request_message", "field"),
    [
        ("CreateEvent", pb.CreateEventRequest(event_id="No Capitals"), "event_id"),
        ("CreateEvent", pb.CreateEventRequest(event_id="a" * 64), "event_id"),
        (
            "CreateEvent",
            pb.CreateEventRequest(event_id="a", event={"display_name": "x" * 257}),
            "event.display_name",
        ),
        (
            "CreateEvent",
            pb.CreateEventRequest(event_id="a", event={"display_name": "x\0"}),
            "event.display_name",
        ),
        (
            "CreateEvent",
            pb.CreateEventRequest(event_id="a", event={"settings": {"min_similarity": 1.5}}),
            "event.settings.min_similarity",
        ),
        (
            "CreateEvent",
            pb.CreateEventRequest(event_id="a", event={"settings": {"detail": 99}}),
            "event.settings.detail",
        ),
        (
            "CreateEvent",
            pb.CreateEventRequest(event_id="a", event={"ttl": timedelta(0)}),
            "event.ttl",
        ),
        ("CreateEvent", pb.CreateEventRequest(event_id="a", request_id="1"), "request_id"),
        (
            "CreateEvent",
            pb.CreateEventRequest(event_id="a", event={"name": "events/b"}),
            "event.name",
        ),
        ("GetEvent", pb.GetEventRequest(), "name"),
        ("GetEvent", pb.GetEventRequest(uid="x"), "uid"),
        ("ListEvents", pb.ListEventsRequest(page_size=-1), "page_size"),
        ("ListEvents", pb.ListEventsRequest(page_token="rubbish"), "page_token"),
        (
            "UpdateEvent",
            pb.UpdateEventRequest(event={"name": "events/a"}, update_mask={"paths": ["uid"]}),
            "update_mask",
        ),
    ],
)
async def test_a_malformed_field_is_named(
    servers: Any, method: str, request_message: Any, field: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await getattr(servers.events, method)(request_message)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert reason_of(refused.value) == "INVALID_ARGUMENT"
    violations = []
    for detail in rpc_status.from_call(refused.value).details:
        bad = error_details_pb2.BadRequest()
        if detail.Unpack(bad):
            violations += [violation.field for violation in bad.field_violations]
    assert violations == [field]
