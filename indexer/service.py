"""Photos on the wire: requests to domain values and back."""

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from typing import Any

import grpc
from facepass.v1 import erasures_pb2, indexer_pb2_grpc, types_pb2
from facepass.v1 import indexer_pb2 as pb
from google.longrunning import operations_pb2

from common.audit.note import count
from common.config import ImageLimits
from common.errors import FacePassError, InvalidArgument, Overloaded
from common.event import Event
from common.flow import map_unordered, until
from common.names import EventName, parse_event, parse_face, parse_photo, photo_id
from common.paging import decode_token, encode_token, fingerprint, page_size
from common.photo import Photo, PhotoInfo, PhotoState
from common.quotas.quotas import Quotas
from common.rpc.convert import (
    analyzed_to_wire,
    enum_to_domain,
    enum_to_wire,
    stored_to_wire,
    text,
    timestamp_to_domain,
    timestamp_to_wire,
)
from common.rpc.door import Door, stopping
from common.rpc.status import status_of
from common.traces.tracer import Tracer, apart
from common.vision.types import AnalyzeOptions, Detail, QualityFilter
from indexer.config import IndexerServerSettings
from indexer.erasure.service import Erasures
from indexer.erasure.settling import Settling
from indexer.event_repository import EventRepository
from indexer.graphs.operation_service import OperationsServicer
from indexer.graphs.optimizing import Optimizing
from indexer.indexing import IndexJob, PhotoIndexing, PhotoOutcome
from indexer.repository import PhotoRepository
from indexer.room import Room, shared
from indexer.turn import Turn, taking_turns
from indexer.uploads import Chunk, Header, Upload, assemble, whole

Context = grpc.aio.ServicerContext[Any, Any]
MAX_ATTRIBUTES = 32
_ROOM_AGAIN_S = 1.0


class IndexerServicer(indexer_pb2_grpc.IndexerServicer):
    """Wire to domain and back."""

    def __init__(
        self,
        events: EventRepository,
        photos: PhotoRepository,
        indexing: PhotoIndexing,
        optimizing: Optimizing,
        operations: OperationsServicer,
        erasures: Erasures,
        settling: Settling,
        settings: IndexerServerSettings,
        limits: ImageLimits,
        door: Door,
        tracer: Tracer | None,
        room: Room,
        quotas: Quotas,
    ) -> None:
        self._events = events
        self._photos = photos
        self._indexing = indexing
        self._optimizing = optimizing
        self._operations = operations
        self._erasures = erasures
        self._settling = settling
        self._settings = settings
        self._limits = limits
        self._door = door
        self._tracer = tracer
        self._room = room
        self._quotas = quotas

    async def IndexPhotos(
        self, requests: AsyncIterator[pb.IndexPhotosRequest], context: Context
    ) -> AsyncIterator[pb.IndexPhotosResponse]:
        first = await anext(requests, None)
        if first is None or first.WhichOneof("payload") != "config":
            raise InvalidArgument("config", "must be the first message of the stream")
        job = await self._job(first.config, "config")
        # Accepted: a caller that waits for this never writes to a stream that was refused.
        await context.send_initial_metadata(())
        settings = self._settings

        async def index(upload: Upload) -> PhotoOutcome:
            with apart(self._tracer, "photo"):
                return await self._indexing.index(job, upload)

        async with taking_turns(settings.idle_timeout_s) as turn:
            with shared(self._room, settings.stream_bytes) as room:
                messages = _messages(requests, self._quotas, turn)
                arriving = assemble(messages, self._limits.max_photo_bytes, room, turn)
                uploads = until(self._door.closing, arriving)
                results = map_unordered(uploads, index, settings.photos_per_stream)
                async with aclosing(results) as outcomes:
                    async for outcome in outcomes:
                        yield pb.IndexPhotosResponse(
                            sequence=outcome.upload.sequence,
                            result=_result(job.event.name, outcome),
                        )
                        room.give_back(len(outcome.upload.content))
                        turn.end()
        if self._door.closing.is_set():
            raise stopping()

    async def IndexPhoto(
        self, request: pb.IndexPhotoRequest, context: Context
    ) -> pb.IndexPhotoResponse:
        job = await self._job(request.config, "config")
        upload = whole(_header(request.photo), request.content, self._limits.max_photo_bytes)
        if isinstance(upload.error, InvalidArgument):
            raise upload.error
        await self._quotas.photo()
        with self._room_now(len(upload.content)):
            outcome = await self._indexing.index(job, upload)
        return pb.IndexPhotoResponse(result=_result(job.event.name, outcome))

    async def GetPhoto(self, request: pb.GetPhotoRequest, context: Context) -> pb.GetPhotoResponse:
        name = parse_photo(request.name, "name")
        photo = await self._photos.get(name)
        count(photos=1, faces=len(photo.faces))
        return pb.GetPhotoResponse(photo=photo_to_wire(name.event, photo))

    async def ListPhotos(
        self, request: pb.ListPhotosRequest, context: Context
    ) -> pb.ListPhotosResponse:
        event = parse_event(request.parent, "parent")
        size = page_size(request.page_size, default=100, most=1000)
        owner = fingerprint("ListPhotos", event, request.state)
        cursor = decode_token(request.page_token, owner, int)
        state = _stored_state(request.state)
        photos = await self._photos.list(event, int(cursor[0]) if cursor else 0, state, size + 1)
        page = photos[:size]
        more = len(photos) > size
        count(photos=len(page), faces=sum(len(photo.faces) for photo in page))
        return pb.ListPhotosResponse(
            photos=[photo_to_wire(event, photo) for photo in page],
            next_page_token=encode_token(owner, [page[-1].photo_no]) if more else "",
        )

    async def DeletePhoto(
        self, request: pb.DeletePhotoRequest, context: Context
    ) -> pb.DeletePhotoResponse:
        removed = await self._photos.delete_photo(
            parse_photo(request.name, "name"), validate_only=request.validate_only
        )
        count(photos=1, faces=removed.faces, validated_only=request.validate_only)
        erasure = await self._settling.settled(removed)
        return pb.DeletePhotoResponse(faces=removed.faces, erasure=erasure)

    async def DeleteFace(
        self, request: pb.DeleteFaceRequest, context: Context
    ) -> pb.DeleteFaceResponse:
        removed = await self._photos.delete_face(
            parse_face(request.name, "name"), validate_only=request.validate_only
        )
        count(faces=1, validated_only=request.validate_only)
        return pb.DeleteFaceResponse(erasure=await self._settling.settled(removed))

    async def OptimizeEvent(
        self, request: pb.OptimizeEventRequest, context: Context
    ) -> operations_pb2.Operation:
        event = await self._events.get(parse_event(request.name, "name"))
        return await self._operations.to_wire(await self._optimizing.optimize(event))

    async def ErasePerson(
        self, request: erasures_pb2.ErasePersonRequest, context: Context
    ) -> operations_pb2.Operation:
        return await self._erasures.erase_person(request)

    async def GetErasure(
        self, request: erasures_pb2.GetErasureRequest, context: Context
    ) -> erasures_pb2.GetErasureResponse:
        return await self._erasures.get(request)

    async def ListErasures(
        self, request: erasures_pb2.ListErasuresRequest, context: Context
    ) -> erasures_pb2.ListErasuresResponse:
        return await self._erasures.list(request)

    @contextmanager
    def _room_now(self, size: int) -> Iterator[None]:
        """Room for so many bytes for as long as the context lasts. Raises Overloaded."""
        if not self._room.take_now(size):
            raise Overloaded(
                "too many photos are in memory", limit="photo_bytes", retry_after_s=_ROOM_AGAIN_S
            )
        try:
            yield
        finally:
            self._room.give_back(size)

    async def _job(self, config: pb.IndexPhotosConfig, field: str) -> IndexJob:
        name = parse_event(config.event, f"{field}.event")
        if config.max_faces < 0:
            raise InvalidArgument(f"{field}.max_faces", "must not be negative")
        policy = config.conflict_policy
        if policy not in pb.ConflictPolicy.values():
            raise InvalidArgument(f"{field}.conflict_policy", f"{policy} is not a value")
        event = await self._events.get(name)
        self._indexing.check(event)
        return IndexJob(
            event, self._options(config, event, field), policy == pb.CONFLICT_POLICY_REPLACE
        )

    def _options(self, config: pb.IndexPhotosConfig, event: Event, field: str) -> AnalyzeOptions:
        defaults = event.fields.settings
        quality = enum_to_domain(
            types_pb2.QualityFilter, config.quality_filter, QualityFilter, f"{field}.quality_filter"
        )
        detail = enum_to_domain(types_pb2.Detail, config.detail, Detail, f"{field}.detail")
        most = self._settings.max_faces
        return AnalyzeOptions(
            detail or defaults.detail,
            quality or defaults.quality_filter,
            min(config.max_faces or most, most),
        )


async def _messages(
    requests: AsyncIterator[pb.IndexPhotosRequest], quotas: Quotas, turn: Turn
) -> AsyncIterator[Header | Chunk]:
    async for request in requests:
        match request.WhichOneof("payload"):
            case "photo":
                with turn.ours():
                    await quotas.photo_in_turn()
                yield _header(request.photo)
            case "chunk":
                yield Chunk(request.chunk.data, request.chunk.last)
            case "config":
                raise InvalidArgument("config", "came twice; it is the first message only")
            case None:
                raise InvalidArgument("payload", "is empty")


def _header(message: pb.PhotoHeader) -> Header:
    """A header that is wrong keeps the photo id, so that its answer can be told from others."""
    try:
        info, error = _info(message), None
    except FacePassError as wrong:
        info, error = PhotoInfo(message.photo_id), wrong
    return Header(info, message.content_length, message.sha256, error)


def _info(message: pb.PhotoHeader) -> PhotoInfo:
    photo_id(message.photo_id, "photo.photo_id")
    if message.content_length < 0:
        raise InvalidArgument("photo.content_length", "must not be negative")
    if len(message.sha256) not in (0, 32):
        raise InvalidArgument("photo.sha256", "must be 32 bytes")
    if len(message.attributes) > MAX_ATTRIBUTES:
        raise InvalidArgument("photo.attributes", f"must be at most {MAX_ATTRIBUTES} pairs")
    capture_time = None
    if message.HasField("capture_time"):
        capture_time = timestamp_to_domain(message.capture_time, "photo.capture_time")
    return PhotoInfo(
        message.photo_id,
        text(message.file_name, 1024, "photo.file_name"),
        text(message.source_uri, 2048, "photo.source_uri"),
        capture_time,
        {
            text(key, 64, "photo.attributes"): text(value, 512, f"photo.attributes[{key[:64]}]")
            for key, value in message.attributes.items()
        },
    )


def _stored_state(value: int) -> PhotoState | None:
    if value not in (0, types_pb2.PHOTO_STATE_INDEXED, types_pb2.PHOTO_STATE_REJECTED):
        raise InvalidArgument("state", "must be INDEXED, REJECTED or unspecified")
    return enum_to_domain(types_pb2.PhotoState, value, PhotoState, "state")


def photo_to_wire(event: EventName, photo: Photo) -> types_pb2.Photo:
    info = photo.info
    name = event.photo(info.photo_id)
    return types_pb2.Photo(
        name=str(name),
        state=enum_to_wire(types_pb2.PhotoState, photo.state),
        file_name=info.file_name,
        source_uri=info.source_uri,
        capture_time=timestamp_to_wire(info.capture_time),
        attributes=info.attributes,
        sha256=photo.sha256,
        size_bytes=photo.size_bytes,
        width=photo.width,
        height=photo.height,
        faces=[stored_to_wire(name, face) for face in photo.faces],
        unindexed_faces=[analyzed_to_wire(face) for face in photo.unindexed],
        rejection_reason=photo.rejection_reason,
        index_time=timestamp_to_wire(photo.index_time),
    )


def _result(event: EventName, outcome: PhotoOutcome) -> pb.PhotoResult:
    timings = None
    if outcome.timings is not None:
        timings = pb.IndexTimings(
            queue_ms=outcome.timings.queue_ms,
            decode_ms=outcome.timings.decode_ms,
            detect_ms=outcome.timings.detect_ms,
            embed_ms=outcome.timings.embed_ms,
            commit_ms=outcome.commit_ms,
        )
    return pb.PhotoResult(
        photo_id=outcome.upload.info.photo_id,
        state=enum_to_wire(types_pb2.PhotoState, outcome.state),
        photo=photo_to_wire(event, outcome.photo) if outcome.photo is not None else None,
        status=status_of(outcome.error) if outcome.error is not None else None,
        timings=timings,
    )
