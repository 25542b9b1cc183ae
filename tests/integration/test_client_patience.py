"""What an upload does with a server that refuses, fails or goes away."""

import asyncio
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from facepass import AsyncClient, PhotoSource, ResourceExhausted, UploadLimits
from facepass.v1 import indexer_pb2 as pb
from facepass.v1 import types_pb2
from patience import until

from common.errors import FacePassError, Overloaded, ProcessingFailed
from common.rpc.status import grpc_status_of, status_of
from common.vision.fake.photos import Command, fake_photo

RETRY_AFTER_S = 0.4
FULL = Overloaded("full", limit="searches", retry_after_s=RETRY_AFTER_S)
QUICK = UploadLimits(first_wait_s=0.01, longest_wait_s=0.02)
FAILED, INDEXED = types_pb2.PHOTO_STATE_FAILED, types_pb2.PHOTO_STATE_INDEXED
PHOTOS = [PhotoSource(f"p{number}", b"x") for number in range(4)]


class Moody:
    """An Indexer in want of room. It refuses streams with `refusals`, one each, and then answers
    photos with `failures`, one each, before it takes any. `calls`: when streams came; `photos`: ids
    in the order in which they came."""

    def __init__(
        self, refusals: Sequence[FacePassError] = (), failures: Sequence[FacePassError] = ()
    ) -> None:
        self._refusals, self._failures = list(refusals), list(failures)
        self.calls: list[float] = []
        self.photos: list[str] = []

    async def index_photos(
        self, requests: AsyncIterator[pb.IndexPhotosRequest], context: Any
    ) -> AsyncIterator[pb.IndexPhotosResponse]:
        self.calls.append(time.monotonic())
        if self._refusals:
            await context.abort_with_status(grpc_status_of(self._refusals.pop(0)))
        await context.send_initial_metadata(())
        sequence = 0
        async for request in requests:
            if request.WhichOneof("payload") == "photo":
                result = pb.PhotoResult(photo_id=request.photo.photo_id, state=INDEXED)
                self.photos.append(result.photo_id)
                if self._failures:
                    result.state = FAILED
                    result.status.CopyFrom(status_of(self._failures.pop(0)))
                yield pb.IndexPhotosResponse(sequence=sequence, result=result)
                sequence += 1


@asynccontextmanager
async def served(moody: Moody) -> AsyncIterator[AsyncClient]:
    server = grpc.aio.server()
    method = grpc.stream_stream_rpc_method_handler(
        moody.index_photos,
        pb.IndexPhotosRequest.FromString,
        pb.IndexPhotosResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("facepass.v1.Indexer", {"IndexPhotos": method})]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with AsyncClient(indexer=f"127.0.0.1:{port}") as client:
            yield client
    finally:
        await server.stop(0)


async def states(client: AsyncClient, limits: UploadLimits = QUICK) -> dict[str, int]:
    results = [each async for each in client.index_photos("party", PHOTOS, limits=limits)]
    assert len(results) == len(PHOTOS)
    return {result.photo_id: result.state for result in results}


async def test_a_server_without_room_is_left_alone_for_as_long_as_it_says(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = Moody(refusals=[FULL, FULL])
    async with served(server) as client:
        with caplog.at_level(logging.WARNING, "facepass"):
            assert set((await states(client)).values()) == {INDEXED}
    assert len(server.calls) == 3
    gaps = [b - a for a, b in zip(server.calls, server.calls[1:], strict=False)]
    assert min(gaps) >= RETRY_AFTER_S
    assert len(caplog.messages) == 2 and "OVERLOADED: full" in caplog.messages[0]


async def test_a_photo_without_room_is_sent_again_once_there_is_some() -> None:
    server = Moody(failures=[FULL])
    async with served(server) as client:
        assert set((await states(client)).values()) == {INDEXED}
    assert server.calls[1] - server.calls[0] >= RETRY_AFTER_S


async def test_patience_ends() -> None:
    server = Moody(refusals=[FULL] * 20)
    limits = UploadLimits(patience_s=2 * RETRY_AFTER_S, first_wait_s=0.01)
    async with served(server) as client:
        with pytest.raises(ResourceExhausted, match="full"):
            await states(client, limits)
    assert 2 <= len(server.calls) <= 3


async def test_a_photo_that_failed_is_sent_once_more_in_the_same_stream() -> None:
    server = Moody(failures=[ProcessingFailed("crashed")])
    async with served(server) as client:
        assert set((await states(client)).values()) == {INDEXED}
    assert len(server.calls) == 1
    assert sorted(server.photos) == ["p0", "p0", "p1", "p2", "p3"]


async def test_a_photo_whose_worker_was_killed_is_indexed_all_the_same(
    servers: Any, vision: Any
) -> None:
    slow = [PhotoSource(f"p{n}", fake_photo([n], command=Command.SLOW)) for n in range(2)]
    async with AsyncClient(indexer=servers.indexer_address) as client:
        await client.create_event("party")

        async def upload() -> list[int]:
            return [result.state async for result in client.index_photos("party", slow)]

        uploading = asyncio.create_task(upload())
        await until(lambda: vision.busy == len(slow))
        os.kill(vision.pids[0], signal.SIGKILL)
        assert await uploading == [INDEXED] * len(slow)


async def test_a_photo_that_always_fails_does_not_hold_up_the_others(
    servers: Any,
) -> None:
    bad = PhotoSource("bad", fake_photo([1], command=Command.FAIL))
    good = [PhotoSource(f"p{number}", fake_photo([number])) for number in range(4)]
    async with AsyncClient(indexer=servers.indexer_address) as client:
        await client.create_event("party")
        results = [each async for each in client.index_photos("party", [bad, *good])]
    assert len(results) == 5
    assert [each.photo_id for each in results if each.state == FAILED] == ["bad"]
