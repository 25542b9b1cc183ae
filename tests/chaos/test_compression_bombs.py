"""A small message that inflates to a gigabyte: it is refused without being inflated."""

import asyncio
import os
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import grpc
import psutil
import pytest
from facepass.v1 import events_pb2
from raw_http2 import RawConnection, message

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def bomb() -> bytes:
    """A gigabyte of zeros, compressed by gzip."""
    packing = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    block = bytes(MIB)
    return b"".join([*(packing.compress(block) for _ in range(1024)), packing.flush()])


@contextmanager
def highest_rss() -> Iterator[list[int]]:
    """The most memory that this process, and so the servers in it, had meanwhile, in bytes."""
    me = psutil.Process(os.getpid())
    highest = [me.memory_info().rss]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.002):
            highest[0] = max(highest[0], me.memory_info().rss)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield highest
    finally:
        done.set()
        thread.join()


def throw(address: str, method: str, content: bytes) -> bytes:
    """Send the message; returns the block of the headers that it is answered with."""
    connection = RawConnection(address)
    try:
        stream = connection.call(method, [("grpc-encoding", "gzip")])
        sent = message(content, compressed=True)
        with suppress(OSError, EOFError):
            connection.send(stream, sent)
        return connection.ended(stream)
    finally:
        connection.close()


async def test_gzip_bombs_are_refused(servers: Any, bomb: bytes, long: bool, figure: Any) -> None:
    times = 100 if long else 5
    targets = [
        (servers.searcher_address, "/facepass.v1.Searcher/Search"),
        (servers.indexer_address, "/facepass.v1.Indexer/IndexPhoto"),
        (servers.indexer_address, "/facepass.v1.Indexer/IndexPhotos"),
    ]
    for address, method in targets:  # what the first call allocates is not the bombs'
        await asyncio.to_thread(throw, address, method, bomb)
    before = psutil.Process(os.getpid()).memory_info().rss
    with highest_rss() as highest:
        for number in range(times):
            address, method = targets[number % len(targets)]
            answer = await asyncio.to_thread(throw, address, method, bomb)
            assert b"grpc-status\x0212" in answer  # UNIMPLEMENTED
    grew = (highest[0] - before) / MIB
    assert grew <= 50
    request = events_pb2.CreateEventRequest(event_id="gala")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await servers.events.CreateEvent(request, compression=grpc.Compression.Gzip)
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
    await servers.events.CreateEvent(request)
    figure(
        "Messages that inflate to a gigabyte",
        done=f"{times} messages of {len(bomb) / MIB:.0f} MiB, compressed by gzip, to both servers",
        refused=times,
        server_memory_grew_mib=round(grew),
    )
