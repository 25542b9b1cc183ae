"""Sending photos in one stream: bounded, in any order of completion, resumed when it breaks."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from itertools import count, islice

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from facepass.errors import FacePassError, Unavailable, from_rpc_error, from_status
from facepass.patience import Patience, is_for_now
from facepass.photos import PhotoSource, chunks
from facepass.security import Bearer
from facepass.v1 import indexer_pb2, indexer_pb2_grpc, types_pb2
from facepass.window import Admitted, UploadLimits, Window

_CHUNKS_PER_READ = 8
_FIRST_WORD_WITHIN_S = 5.0

Call = grpc.aio.StreamStreamCall[indexer_pb2.IndexPhotosRequest, indexer_pb2.IndexPhotosResponse]
Photos = Iterable[PhotoSource] | AsyncIterable[PhotoSource]


class Upload:
    """One run of `index_photos`.

    Three tasks: `_feed` takes photos from the caller while there is room, `_send` writes them to
    the current connection, and the reader of `results` takes the answers. `_feed` outlives a
    connection; what it took and was not answered is sent again by the next one.
    """

    def __init__(
        self,
        stub: "indexer_pb2_grpc.IndexerAsyncStub",
        bearer: Bearer,
        config: indexer_pb2.IndexPhotosConfig,
        photos: Photos,
        limits: UploadLimits,
    ) -> None:
        self._stub = stub
        self._bearer = bearer
        self._config = config
        self._photos = photos
        self._limits = limits
        self._window = Window(limits)
        self._unreadable: deque[indexer_pb2.PhotoResult] = deque()

    async def results(self) -> AsyncGenerator[indexer_pb2.PhotoResult, None]:
        """Yield what became of each photo. See `AsyncClient.index_photos`."""
        feeder = asyncio.create_task(self._feed())
        patience = Patience(self._limits)
        try:
            while await self._window.after(-1) is not None:
                failure: FacePassError = Unavailable(
                    grpc.StatusCode.UNAVAILABLE, "the server ended the stream"
                )
                try:
                    async with contextlib.aclosing(self._connection()) as answers:
                        async for result in answers:
                            patience.progressed()
                            yield result
                            while self._unreadable:
                                yield self._unreadable.popleft()
                except grpc.aio.AioRpcError as error:
                    failure = _broken(error)
                except FacePassError as error:
                    failure = error
                if len(self._window):
                    await patience.wait(failure, len(self._window))
            await feeder  # raises what the caller's iterable raised
            while self._unreadable:
                yield self._unreadable.popleft()
        finally:
            await _stop(feeder)

    async def _connection(self) -> AsyncGenerator[indexer_pb2.PhotoResult, None]:
        """Yield the answers of one stream, until it ends or breaks (AioRpcError).

        Raises FacePassError when the server has lost its database or has no room: going on would
        fail every photo.
        """
        call = self._stub.IndexPhotos(metadata=self._bearer.metadata())
        sent: dict[int, int] = {}
        sender = asyncio.create_task(self._send(call, sent))
        try:
            async for response in call:
                key, result = sent.pop(response.sequence), response.result
                if result.state == types_pb2.PHOTO_STATE_FAILED:
                    if is_for_now(failure := from_status(result.status)):
                        raise failure
                    if await self._window.failed(key):
                        continue
                await self._window.answered(key)
                yield result
            if sender.done():
                await sender
        finally:
            call.cancel()
            await _stop(sender)

    async def _send(self, call: Call, sent: dict[int, int]) -> None:
        """Write photos until all are answered. sent: takes the key of each by its place in the
        stream."""
        try:
            # A connection that breaks is seen, with its reason, by the reader.
            with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                await call.write(indexer_pb2.IndexPhotosRequest(config=self._config))
                await _until_accepted(call)
                key = -1
                for sequence in count():
                    if (photo := await self._window.after(key)) is None:
                        break
                    key = sent[sequence] = photo.key
                    await _write(call, photo)
        finally:
            await call.done_writing()

    async def _feed(self) -> None:
        try:
            async with contextlib.aclosing(_each(self._photos)) as photos:
                await self._window.room_for_one()
                async for photo in photos:
                    try:
                        header = await asyncio.to_thread(photo.header)
                    except OSError as error:
                        self._unreadable.append(_unreadable(photo, error))
                    else:
                        await self._window.add(header, photo.content)
                    await self._window.room_for_one()
        finally:
            await self._window.complete()


def _broken(error: grpc.aio.AioRpcError) -> FacePassError:
    # A write that comes after the server ended the stream makes grpc.aio answer with this, in place
    # of the server's status that is still on its way. The next connection brings it.
    if error.details() == "Internal error from Core":
        return Unavailable(grpc.StatusCode.UNAVAILABLE, "the stream broke")
    return from_rpc_error(error)


async def _until_accepted(call: Call) -> None:
    """Wait for the server's first word, so that nothing is written to a stream that it refuses:
    grpc.aio would answer such a write with an error of its own, and drop the server's with its
    advice when to come back. A server that says nothing before its first answer is not waited for.
    """
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(call.initial_metadata(), _FIRST_WORD_WITHIN_S)


async def _write(call: Call, photo: Admitted) -> None:
    await call.write(indexer_pb2.IndexPhotosRequest(photo=photo.header))
    pieces = chunks(photo.content)
    try:
        while batch := await asyncio.to_thread(lambda: list(islice(pieces, _CHUNKS_PER_READ))):
            for chunk in batch:
                await call.write(indexer_pb2.IndexPhotosRequest(chunk=chunk))
    except OSError:
        # The file went away after it was hashed. Ended here, it is answered CONTENT_MISMATCH.
        end = indexer_pb2.PhotoChunk(last=True)
        await call.write(indexer_pb2.IndexPhotosRequest(chunk=end))


async def _each(photos: Photos) -> AsyncGenerator[PhotoSource, None]:
    if isinstance(photos, AsyncIterable):
        async for photo in photos:
            yield photo
        return
    iterator = iter(photos)
    # In a thread, because an iterable may read files or a network before it gives the next photo.
    while (following := await asyncio.to_thread(next, iterator, None)) is not None:
        yield following


def _unreadable(photo: PhotoSource, error: OSError) -> indexer_pb2.PhotoResult:
    info = any_pb2.Any()
    info.Pack(error_details_pb2.ErrorInfo(reason="FILE_UNREADABLE", domain="facepass"))
    message = f"cannot read {error.filename or photo.file_name}: {error.strerror or error}"
    status = status_pb2.Status(
        code=grpc.StatusCode.UNAVAILABLE.value[0], message=message, details=[info]
    )
    return indexer_pb2.PhotoResult(
        photo_id=photo.photo_id, state=types_pb2.PHOTO_STATE_FAILED, status=status
    )


async def _stop(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()  # seen already, or of no interest to a caller who left
