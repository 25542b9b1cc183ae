"""What a call leaves behind: nothing of what it was sent, whatever came of it."""

import gc
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import grpc
import pytest
from facepass.v1 import events_pb2, indexer_pb2, searcher_pb2

SIZE, CALLS = 1_000_000, 12
NOT_AN_IMAGE = bytes(SIZE)
OURS = [tracemalloc.Filter(True, f"*/{part}/*") for part in ("common", "indexer", "searcher")]


@pytest.fixture
def held() -> Iterator[Callable[[], int]]:
    """Bytes of requests that are still there, while Python does not look for circles."""
    gc.collect()
    gc.disable()
    tracemalloc.start()
    yield lambda: sum(
        trace.size
        for trace in tracemalloc.take_snapshot().filter_traces(OURS).traces
        if trace.size > SIZE // 2
    )
    tracemalloc.stop()
    gc.enable()


async def test_a_refused_selfie_is_not_held(servers: Any, held: Callable[[], int]) -> None:
    request = searcher_pb2.EvaluateSelfieRequest(image=NOT_AN_IMAGE)
    for _ in range(CALLS):
        with pytest.raises(grpc.RpcError):
            await servers.searcher.EvaluateSelfie(request)
    assert held() < 2 * SIZE


async def test_a_rejected_photo_is_not_held(servers: Any, held: Callable[[], int]) -> None:
    await servers.events.CreateEvent(events_pb2.CreateEventRequest(event_id="gala"))
    for number in range(CALLS):
        await servers.indexer.IndexPhoto(
            indexer_pb2.IndexPhotoRequest(
                config=indexer_pb2.IndexPhotosConfig(event="events/gala"),
                photo=indexer_pb2.PhotoHeader(photo_id=f"photo-{number}"),
                content=NOT_AN_IMAGE,
            )
        )
    assert held() < 2 * SIZE


async def test_photos_of_a_stream_are_not_held(servers: Any, held: Callable[[], int]) -> None:
    await servers.events.CreateEvent(events_pb2.CreateEventRequest(event_id="gala"))
    config = indexer_pb2.IndexPhotosConfig(event="events/gala")

    async def requests() -> AsyncIterator[indexer_pb2.IndexPhotosRequest]:
        yield indexer_pb2.IndexPhotosRequest(config=config)
        for number in range(CALLS):
            header = indexer_pb2.PhotoHeader(photo_id=f"photo-{number}")
            yield indexer_pb2.IndexPhotosRequest(photo=header)
            chunk = indexer_pb2.PhotoChunk(data=NOT_AN_IMAGE, last=True)
            yield indexer_pb2.IndexPhotosRequest(chunk=chunk)

    results = [answer async for answer in servers.indexer.IndexPhotos(requests())]
    assert sum(answer.HasField("result") for answer in results) == CALLS
    assert held() < 2 * SIZE
