"""Events on the wire: requests to domain values and back."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import grpc
from facepass.v1 import events_pb2 as pb
from facepass.v1 import events_pb2_grpc, types_pb2

from common.audit.note import concerns, count
from common.errors import InvalidArgument
from common.event import Event, EventFields
from common.names import event_id, parse_event
from common.paging import decode_token, encode_token, fingerprint, page_size
from common.rpc.convert import (
    enum_to_domain,
    enum_to_wire,
    text,
    timestamp_to_domain,
    timestamp_to_wire,
)
from common.vision.types import Detail, QualityFilter
from indexer.erasure.settling import Settling
from indexer.event_repository import EventRepository, RequestMark
from indexer.graphs.operation_repository import OperationRepository

Context = grpc.aio.ServicerContext[Any, Any]
MAX_TEXT = 256
_SETTINGS = ("quality_filter", "detail", "min_similarity")
_LIST_TOKEN = fingerprint("ListEvents")


class EventsServicer(events_pb2_grpc.EventsServicer):
    """Wire to domain and back."""

    def __init__(
        self, repository: EventRepository, operations: OperationRepository, settling: Settling
    ) -> None:
        self._repository = repository
        self._operations = operations
        self._settling = settling

    async def CreateEvent(
        self, request: pb.CreateEventRequest, context: Context
    ) -> pb.CreateEventResponse:
        name = event_id(request.event_id, "event_id")
        if request.event.name and request.event.name != str(name):
            raise InvalidArgument("event.name", f"is not that of event_id, {name}")
        fields = _apply(request.event, EventFields(), _ALL_PATHS)
        event = await self._repository.create(name, fields, _mark(request))
        return pb.CreateEventResponse(event=event_to_wire(event))

    async def GetEvent(self, request: pb.GetEventRequest, context: Context) -> pb.GetEventResponse:
        if request.WhichOneof("key") == "uid":
            event = await self._repository.get_by_uid(_uuid(request.uid, "uid"))
            concerns(event.name.event)
        else:
            event = await self._repository.get(parse_event(request.name, "name"))
        building = await self._operations.is_open(event)
        return pb.GetEventResponse(event=event_to_wire(event, building=building))

    async def ListEvents(
        self, request: pb.ListEventsRequest, context: Context
    ) -> pb.ListEventsResponse:
        size = page_size(request.page_size, default=50, most=1000)
        cursor = decode_token(request.page_token, _LIST_TOKEN, str)
        events = await self._repository.list(str(cursor[0]) if cursor else "", size + 1)
        page = events[:size]
        more = len(events) > size
        count(events=len(page))
        return pb.ListEventsResponse(
            events=[event_to_wire(event) for event in page],
            next_page_token=encode_token(_LIST_TOKEN, [page[-1].name.event]) if more else "",
        )

    async def UpdateEvent(
        self, request: pb.UpdateEventRequest, context: Context
    ) -> pb.UpdateEventResponse:
        name = parse_event(request.event.name, "event.name")
        paths = _paths(request)
        event = await self._repository.update(
            name, request.event.etag, lambda fields: _apply(request.event, fields, paths)
        )
        building = await self._operations.is_open(event)
        return pb.UpdateEventResponse(event=event_to_wire(event, building=building))

    async def DeleteEvent(
        self, request: pb.DeleteEventRequest, context: Context
    ) -> pb.DeleteEventResponse:
        deleted = await self._repository.delete(
            parse_event(request.name, "name"), request.etag, validate_only=request.validate_only
        )
        count(photos=deleted.photos, faces=deleted.faces, validated_only=request.validate_only)
        erasure = await self._settling.settled(deleted)
        return pb.DeleteEventResponse(photos=deleted.photos, faces=deleted.faces, erasure=erasure)


def index_to_wire(event: Event, *, building: bool) -> pb.EventIndex:
    """How the event is searched. `building`: whether an operation of its is under way."""
    state = pb.INDEX_STATE_BUILDING if building else pb.INDEX_STATE_READY
    relation = event.relation
    if relation is None:
        return pb.EventIndex(strategy=pb.INDEX_STRATEGY_EXACT, state=state)
    return pb.EventIndex(
        strategy=pb.INDEX_STRATEGY_HNSW,
        state=state,
        faces=relation.faces,
        size_bytes=relation.size_bytes,
        ef_search=relation.ef_search,
        recall=relation.recall,
        build_time=timestamp_to_wire(relation.build_time),
    )


def event_to_wire(event: Event, *, building: bool = False) -> pb.Event:
    fields, settings, counts = event.fields, event.fields.settings, event.counts
    return pb.Event(
        name=str(event.name),
        uid=str(event.uid),
        display_name=fields.display_name,
        location=fields.location,
        start_time=timestamp_to_wire(fields.start_time),
        expire_time=timestamp_to_wire(fields.expire_time),
        settings=pb.EventSettings(
            quality_filter=enum_to_wire(types_pb2.QualityFilter, settings.quality_filter),
            detail=enum_to_wire(types_pb2.Detail, settings.detail),
            min_similarity=settings.min_similarity or 0.0,
        ),
        pack=event.pack.key if event.pack else "",
        counts=pb.EventCounts(
            photos_indexed=counts.photos_indexed,
            photos_rejected=counts.photos_rejected,
            photos_pending=counts.photos_pending,
            faces=counts.faces,
        ),
        etag=event.etag,
        create_time=timestamp_to_wire(event.create_time),
        update_time=timestamp_to_wire(event.update_time),
        index=index_to_wire(event, building=building),
    )


def _mark(request: pb.CreateEventRequest) -> RequestMark | None:
    if not request.request_id:
        return None
    content = pb.CreateEventRequest(event_id=request.event_id, event=request.event)
    digest = hashlib.sha256(content.SerializeToString(deterministic=True)).digest()
    return RequestMark(_uuid(request.request_id, "request_id"), digest)


def _uuid(value: str, field: str) -> UUID:
    try:
        return UUID(value)
    except ValueError:
        raise InvalidArgument(field, "must be a UUID") from None


def _display_name(message: pb.Event, fields: EventFields) -> EventFields:
    return replace(fields, display_name=text(message.display_name, MAX_TEXT, "event.display_name"))


def _location(message: pb.Event, fields: EventFields) -> EventFields:
    return replace(fields, location=text(message.location, MAX_TEXT, "event.location"))


def _start_time(message: pb.Event, fields: EventFields) -> EventFields:
    time = None
    if message.HasField("start_time"):
        time = timestamp_to_domain(message.start_time, "event.start_time")
    return replace(fields, start_time=time)


def _expiration(message: pb.Event, fields: EventFields) -> EventFields:
    match message.WhichOneof("expiration"):
        case "ttl":
            return replace(fields, expire_time=datetime.now(UTC) + _ttl(message))
        case "expire_time":
            time = timestamp_to_domain(message.expire_time, "event.expire_time")
            if time <= datetime.now(UTC):
                raise InvalidArgument("event.expire_time", "must be in the future")
            return replace(fields, expire_time=time)
    return replace(fields, expire_time=None)


def _ttl(message: pb.Event) -> timedelta:
    try:
        ttl = message.ttl.ToTimedelta()
        datetime.now(UTC) + ttl
    except (ValueError, OverflowError):
        raise InvalidArgument("event.ttl", "is out of range") from None
    if ttl <= timedelta():
        raise InvalidArgument("event.ttl", "must be above 0")
    return ttl


def _quality_filter(message: pb.Event, fields: EventFields) -> EventFields:
    value = enum_to_domain(
        types_pb2.QualityFilter,
        message.settings.quality_filter,
        QualityFilter,
        "event.settings.quality_filter",
    )
    settings = replace(fields.settings, quality_filter=value or QualityFilter.AUTO)
    return replace(fields, settings=settings)


def _detail(message: pb.Event, fields: EventFields) -> EventFields:
    value = enum_to_domain(
        types_pb2.Detail, message.settings.detail, Detail, "event.settings.detail"
    )
    return replace(fields, settings=replace(fields.settings, detail=value or Detail.STANDARD))


def _min_similarity(message: pb.Event, fields: EventFields) -> EventFields:
    value = message.settings.min_similarity
    if not 0 <= value <= 1:
        raise InvalidArgument("event.settings.min_similarity", "must be in (0, 1], or 0 for none")
    return replace(fields, settings=replace(fields.settings, min_similarity=value or None))


_PATHS: dict[str, Callable[[pb.Event, EventFields], EventFields]] = {
    "display_name": _display_name,
    "location": _location,
    "start_time": _start_time,
    "expire_time": _expiration,
    "ttl": _expiration,
    "settings.quality_filter": _quality_filter,
    "settings.detail": _detail,
    "settings.min_similarity": _min_similarity,
}
_ALL_PATHS = tuple(path for path in _PATHS if path != "ttl")


def _apply(message: pb.Event, fields: EventFields, paths: Iterable[str]) -> EventFields:
    for path in paths:
        fields = _PATHS[path](message, fields)
    return fields


def _paths(request: pb.UpdateEventRequest) -> list[str]:
    """The mask's fields, or without a mask those that are set. Raises InvalidArgument for a field
    that cannot change."""
    if not request.update_mask.paths:
        return _set_paths(request.event)
    paths: list[str] = []
    for path in dict.fromkeys(request.update_mask.paths):
        if path == "settings":
            paths += [f"settings.{name}" for name in _SETTINGS]
        elif path in _PATHS:
            paths.append(path)
        else:
            raise InvalidArgument(
                "update_mask", f"{path[:64]} cannot be changed; these can: {', '.join(_PATHS)}"
            )
    return paths


def _set_paths(message: pb.Event) -> list[str]:
    paths = [f.name for f, _ in message.ListFields() if f.name in _PATHS]
    return paths + [
        f"settings.{f.name}"
        for f, _ in message.settings.ListFields()
        if f"settings.{f.name}" in _PATHS
    ]
