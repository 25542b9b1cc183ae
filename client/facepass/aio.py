"""The client for asyncio."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self, Unpack

from google.longrunning import operations_pb2, operations_pb2_grpc
from google.protobuf import duration_pb2

from facepass import channel
from facepass.calls import Calls
from facepass.erasing import Sample, erase_request
from facepass.errors import from_status
from facepass.names import event_id, event_name, photo_name
from facepass.options import (
    EventFields,
    IndexOptions,
    SearchOptions,
    event_message,
    index_config,
    search_request,
    update_mask,
)
from facepass.photos import PhotoSource
from facepass.probes import ProbeLike, face_name, probe
from facepass.security import Bearer, Security, channel_credentials
from facepass.upload import Photos, Upload
from facepass.v1 import (
    erasures_pb2,
    events_pb2,
    events_pb2_grpc,
    indexer_pb2,
    indexer_pb2_grpc,
    searcher_pb2,
    searcher_pb2_grpc,
    types_pb2,
)
from facepass.window import UploadLimits

LARGEST_PAGE = 1000
_WAIT_S = 20.0


class AsyncClient:
    """Talks to both FacePass servers. Make it inside a running event loop, and close it.

    indexer, searcher: `host:port` of a server or of a proxy in front of several;
    `host:port,host:port` of several, or `dns:///host:port` for all that a name stands for, to whom
    calls go in turn; by default FACEPASS_INDEXER_ADDRESS and FACEPASS_SEARCHER_ADDRESS, or else
    localhost:50051 and localhost:50052.
    timeout_s: longest wait for one answer; photo streams have no limit.
    security: the token, and TLS; see `Security`. With neither, plain text.

    Events are given by id or name, photos by event and id. Every method raises `FacePassError`.
    """

    def __init__(
        self,
        *,
        indexer: str | None = None,
        searcher: str | None = None,
        timeout_s: float = 60.0,
        **security: Unpack[Security],
    ) -> None:
        addresses = channel.indexer_address(indexer), channel.searcher_address(searcher)
        credentials = channel_credentials(security)
        self._bearer = Bearer.of(security, credentials is not None, *addresses)
        self._indexing, self._searching = (
            channel.open_channel(address, service, credentials)
            for address, service in zip(addresses, (channel.INDEXER, channel.SEARCHER), strict=True)
        )
        self._events = events_pb2_grpc.EventsStub(self._indexing)
        self._indexer = indexer_pb2_grpc.IndexerStub(self._indexing)
        self._operations = operations_pb2_grpc.OperationsStub(self._indexing)
        self._searcher = searcher_pb2_grpc.SearcherStub(self._searching)
        self._calls = Calls(self._bearer, timeout_s)
        self._timeout_s = timeout_s

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; calls under way are cancelled."""
        await asyncio.gather(self._indexing.close(), self._searching.close())

    async def create_event(self, event: str, **fields: Unpack[EventFields]) -> events_pb2.Event:
        """Create an event under an id of 1 to 63 of `a-z 0-9 -`."""
        request = events_pb2.CreateEventRequest(
            event_id=event_id(event),
            event=event_message(event, fields),
            request_id=str(uuid.uuid4()),
        )
        return (await self._calls.one(self._events.CreateEvent, request)).event

    async def get_event(self, event: str) -> events_pb2.Event:
        """Read an event with its counts."""
        request = events_pb2.GetEventRequest(name=event_name(event))
        return (await self._calls.one(self._events.GetEvent, request)).event

    async def get_event_by_uid(self, uid: str) -> events_pb2.Event:
        """Read the very event that has this uid."""
        request = events_pb2.GetEventRequest(uid=uid)
        return (await self._calls.one(self._events.GetEvent, request)).event

    async def list_events(self) -> AsyncIterator[events_pb2.Event]:
        """Iterate over all events, by name."""
        request = events_pb2.ListEventsRequest(page_size=LARGEST_PAGE)
        async for page in self._calls.pages(self._events.ListEvents, request):
            for event in page.events:
                yield event

    async def update_event(
        self, event: str, *, etag: str = "", **fields: Unpack[EventFields]
    ) -> events_pb2.Event:
        """Change the given fields. With an `etag`, only if nobody else changed the event since."""
        message = event_message(event, fields)
        message.etag = etag
        request = events_pb2.UpdateEventRequest(event=message, update_mask=update_mask(fields))
        return (await self._calls.one(self._events.UpdateEvent, request)).event

    async def delete_event(
        self, event: str, *, etag: str = "", validate_only: bool = False
    ) -> events_pb2.DeleteEventResponse:
        """Delete an event with all it holds, or only count what would go."""
        request = events_pb2.DeleteEventRequest(
            name=event_name(event), etag=etag, validate_only=validate_only
        )
        return await self._calls.one(self._events.DeleteEvent, request)

    async def optimize_event(self, event: str, *, wait: bool = True) -> operations_pb2.Operation:
        """Bring an event's index to what its size calls for now, and up to date.

        The operation has OptimizeEventMetadata, and OptimizeEventResponse once it is done. With
        `wait`, returns then, and raises what it failed with.
        """
        request = indexer_pb2.OptimizeEventRequest(name=event_name(event))
        operation = await self._calls.one(self._indexer.OptimizeEvent, request)
        return await self.wait_operation(operation.name) if wait else operation

    async def get_operation(self, operation: str) -> operations_pb2.Operation:
        """Read an operation by name: how far it is."""
        request = operations_pb2.GetOperationRequest(name=operation)
        return await self._calls.one(self._operations.GetOperation, request)

    async def wait_operation(self, operation: str) -> operations_pb2.Operation:
        """Wait until an operation is done; raises what it failed with."""
        wait = duration_pb2.Duration()
        wait.FromMilliseconds(int(1000 * min(_WAIT_S, self._timeout_s / 2)))
        request = operations_pb2.WaitOperationRequest(name=operation, timeout=wait)
        while not (found := await self._calls.one(self._operations.WaitOperation, request)).done:
            continue
        if found.HasField("error"):
            raise from_status(found.error)
        return found

    async def index_photos(
        self,
        event: str,
        photos: Photos,
        *,
        limits: UploadLimits | None = None,
        **options: Unpack[IndexOptions],
    ) -> AsyncIterator[indexer_pb2.PhotoResult]:
        """Index photos in one stream; yields what became of each, in the order of completion.

        The next photo is taken only when there is room (`limits`), and a plain iterable is advanced
        in a worker thread. A stream that breaks, a server that loses its database or has no room,
        is tried again with what was not answered, until for `limits.patience_s` nothing was, which
        then raises; each try is logged as a warning of the logger `facepass`. A photo may so come
        back DUPLICATE although it was indexed just now. A photo that FacePass failed on is sent
        once more before it comes back FAILED. A file that cannot be read is FAILED
        (FILE_UNREADABLE). What the iterable raises is raised here, after the photos before it were
        answered.
        """
        config = index_config(event, options)
        upload = Upload(self._indexer, self._bearer, config, photos, limits or UploadLimits())
        async for result in upload.results():
            yield result

    async def index_photo(
        self, event: str, photo: PhotoSource, **options: Unpack[IndexOptions]
    ) -> indexer_pb2.PhotoResult:
        """Index one photo. Raises OSError when its file cannot be read."""
        content = photo.content
        if not isinstance(content, bytes):
            content = await asyncio.to_thread(content.read_bytes)
        request = indexer_pb2.IndexPhotoRequest(
            config=index_config(event, options),
            photo=await asyncio.to_thread(photo.header),
            content=content,
        )
        return (await self._calls.one(self._indexer.IndexPhoto, request)).result

    async def get_photo(self, event: str, photo: str) -> types_pb2.Photo:
        """Read a photo with its faces."""
        request = indexer_pb2.GetPhotoRequest(name=photo_name(event, photo))
        return (await self._calls.one(self._indexer.GetPhoto, request)).photo

    async def list_photos(
        self, event: str, *, state: types_pb2.PhotoState = types_pb2.PHOTO_STATE_UNSPECIFIED
    ) -> AsyncIterator[types_pb2.Photo]:
        """Iterate over an event's photos with their faces, in the order of their indexing."""
        request = indexer_pb2.ListPhotosRequest(
            parent=event_name(event), page_size=LARGEST_PAGE, state=state
        )
        async for page in self._calls.pages(self._indexer.ListPhotos, request):
            for photo in page.photos:
                yield photo

    async def delete_photo(
        self, event: str, photo: str, *, validate_only: bool = False
    ) -> indexer_pb2.DeletePhotoResponse:
        """Delete a photo with its faces, or only count them."""
        request = indexer_pb2.DeletePhotoRequest(
            name=photo_name(event, photo), validate_only=validate_only
        )
        return await self._calls.one(self._indexer.DeletePhoto, request)

    async def delete_face(
        self, face: str, *, validate_only: bool = False
    ) -> indexer_pb2.DeleteFaceResponse:
        """Delete one face, given by name; its photo stays."""
        request = indexer_pb2.DeleteFaceRequest(name=face_name(face), validate_only=validate_only)
        return await self._calls.one(self._indexer.DeleteFace, request)

    async def erase_person(
        self,
        event: str,
        sample: Sample,
        *,
        face_index: int | None = None,
        min_similarity: float | None = None,
        suppress: datetime | timedelta | None = None,
        validate_only: bool = False,
    ) -> operations_pb2.Operation:
        """Erase every face of a person from an event, or only say which would go.

        Returns once no search finds them: an operation with ErasePersonMetadata, whose receipt
        tells the rest; `wait_operation` waits until no file of the database has them, and then it
        has ErasePersonResponse. `suppress`: until when, or how long, later photos of the person are
        not indexed; a template of the person is kept for that.
        """
        request = await erase_request(
            event,
            sample,
            face_index=face_index,
            min_similarity=min_similarity,
            suppress=suppress,
            validate_only=validate_only,
        )
        return await self._calls.one(self._indexer.ErasePerson, request)

    async def get_erasure(self, name: str) -> erasures_pb2.Erasure:
        """Read the receipt of an erasure, given by name."""
        request = erasures_pb2.GetErasureRequest(name=name)
        return (await self._calls.one(self._indexer.GetErasure, request)).erasure

    async def list_erasures(self, event: str = "") -> AsyncIterator[erasures_pb2.Erasure]:
        """Iterate over receipts, newest first: all, or those of events of one name."""
        name = event_name(event) if event else ""
        request = erasures_pb2.ListErasuresRequest(event=name, page_size=LARGEST_PAGE)
        async for page in self._calls.pages(self._indexer.ListErasures, request):
            for erasure in page.erasures:
                yield erasure

    async def search(
        self,
        event: str,
        *probes: ProbeLike,
        limit: int | None = None,
        **options: Unpack[SearchOptions],
    ) -> searcher_pb2.SearchResponse:
        """Find the person of the probes; all matches, or the `limit` most similar ones.

        All pages are put together: the first page's answer with the matches of all of them. Its
        `next_page_token` is empty, `total_matches` counts those beyond the limit too.
        """
        request = await search_request(event, probes, options)
        request.page_size = LARGEST_PAGE if limit is None else min(limit, LARGEST_PAGE)
        answer: searcher_pb2.SearchResponse | None = None
        async for page in self._calls.pages(self._searcher.Search, request, event=request.event):
            if answer is None:
                answer = page
            else:
                answer.matches.extend(page.matches)
            if limit is not None and len(answer.matches) >= limit:
                break
        assert answer is not None  # there is always a first page
        if limit is not None:
            del answer.matches[limit:]
        answer.next_page_token = ""
        return answer

    async def search_page(
        self,
        event: str,
        *probes: ProbeLike,
        page_size: int = 0,
        page_token: str = "",
        **options: Unpack[SearchOptions],
    ) -> searcher_pb2.SearchResponse:
        """Return one page of a search; for a following page everything else must be the same."""
        request = await search_request(event, probes, options)
        request.page_size, request.page_token = page_size, page_token
        return await self._calls.one(self._searcher.Search, request, event=request.event)

    async def compare_faces(
        self, left: ProbeLike, right: ProbeLike
    ) -> searcher_pb2.CompareFacesResponse:
        """Compare two faces one to one."""
        request = searcher_pb2.CompareFacesRequest(left=await probe(left), right=await probe(right))
        return await self._calls.one(self._searcher.CompareFaces, request)

    async def evaluate_selfie(self, image: bytes | Path) -> searcher_pb2.EvaluateSelfieResponse:
        """Say whether an image is good enough to search with, and how to make it better."""
        request = searcher_pb2.EvaluateSelfieRequest(image=(await probe(image)).image)
        return await self._calls.one(self._searcher.EvaluateSelfie, request)
