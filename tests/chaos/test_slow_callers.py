"""Callers that connect and say nothing, send a byte at a time or never read: others do not notice,
and what was held for them comes back."""

import asyncio
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import load
import psutil
import pytest
from facepass.v1 import events_pb2
from facepass.v1 import indexer_pb2 as pb
from load import Plan
from patience import until
from raw_http2 import PREFACE, RawConnection, message

from common.vision.fake.photos import fake_photo
from indexer.config import IndexerServerSettings, IndexerSettings

INDEX_PHOTOS = "/facepass.v1.Indexer/IndexPhotos"
PHOTO = fake_photo([1])


@pytest.fixture
async def servers(database: Any, vision: Any, serving: Any) -> Any:
    settings = IndexerServerSettings(
        listen="127.0.0.1:0",
        metrics_listen="127.0.0.1:0",
        idle_timeout_s=2,
        max_connections=10_000,
    )
    async with serving(
        database.settings, vision, indexer_settings=IndexerSettings(indexer=settings)
    ) as running:
        await running.events.CreateEvent(events_pb2.CreateEventRequest(event_id="gala"))
        yield running


def stream_of(number: int) -> list[bytes]:
    """A stream's messages: the configuration and a photo."""
    requests = [
        pb.IndexPhotosRequest(config=pb.IndexPhotosConfig(event="events/gala")),
        pb.IndexPhotosRequest(photo=pb.PhotoHeader(photo_id=f"p{number}")),
        pb.IndexPhotosRequest(chunk=pb.PhotoChunk(data=PHOTO, last=True)),
    ]
    return [message(request.SerializeToString()) for request in requests]


class SlowCallers:
    """Sockets on one server that are slow in every way."""

    def __init__(self, address: str, *, idle: int, halves: int, slow: int, deaf: int) -> None:
        host, _, port = address.rpartition(":")
        place = (host, int(port))
        self._sockets = [socket.create_connection(place) for _ in range(idle + halves)]
        for each in self._sockets[:halves]:
            each.sendall(PREFACE[: len(PREFACE) // 2])
        self._slow = [RawConnection(address) for _ in range(slow)]
        self._streams = [each.call(INDEX_PHOTOS) for each in self._slow]
        self._deaf = [RawConnection(address, window=0) for _ in range(deaf)]
        for number, connection in enumerate(self._deaf):
            stream = connection.call(INDEX_PHOTOS)
            for part in stream_of(number):
                connection.send(stream, part)
        self._done = threading.Event()
        self._dripping = threading.Thread(target=self._drip)
        self._dripping.start()

    def close(self) -> None:
        """Go away, all at once."""
        self._done.set()
        self._dripping.join()
        for each in self._sockets:
            each.close()
        for connection in [*self._slow, *self._deaf]:
            connection.close()

    def _drip(self) -> None:
        """A byte a second on each of the slow streams."""
        parts = [b"".join(stream_of(1_000 + number)) for number in range(len(self._slow))]
        sent = 0
        while not self._done.wait(1):
            for connection, stream, part in zip(self._slow, self._streams, parts, strict=True):
                with suppress(OSError, EOFError):
                    connection.send(stream, part[sent : sent + 1])
            sent += 1


@contextmanager
def slow_callers(address: str, **how_many: int) -> Iterator[None]:
    callers = SlowCallers(address, **how_many)
    try:
        yield
    finally:
        callers.close()


def held() -> tuple[int, int, float]:
    """Descriptors, tasks and MiB of memory of this process, and so of the servers in it."""
    me = psutil.Process(os.getpid())
    return me.num_fds(), len(asyncio.all_tasks()), me.memory_info().rss / 1024**2


@pytest.mark.alone
@pytest.mark.slow
async def test_slow_callers_are_not_noticed(
    servers: Any, tmp_path: Path, long: bool, figure: Any
) -> None:
    share = 1 if long else 20
    how_many = {
        "idle": 2_000 // share, "halves": 500 // share, "slow": 200 // share, "deaf": 100 // share
    }  # fmt: skip
    request = events_pb2.GetEventRequest(name="events/gala")
    file = tmp_path / "request"
    file.write_bytes(request.SerializeToString())
    seconds = 10.0 if long else 1.0

    async def p99_ms() -> float:
        plan = Plan(
            servers.indexer_address, "/facepass.v1.Events/GetEvent", str(file), seconds, callers=4
        )
        (tally,) = await load.run(plan)
        assert tally.failed == {} and tally.refused_ms == []
        return sorted(tally.good_ms)[int(0.99 * len(tally.good_ms))]

    alone = [await p99_ms()]
    fds, tasks, rss = held()
    beside = []
    for _ in range(2 if long else 1):
        with slow_callers(servers.indexer_address, **how_many):
            beside.append(await p99_ms())
        alone.append(await p99_ms())
    slower = min(beside) / max(min(alone), 0.001)
    await until(lambda: held()[0] <= fds + 5 and held()[1] <= tasks + 2)
    more_fds, more_tasks, more_rss = (a - b for a, b in zip(held(), (fds, tasks, rss), strict=True))
    assert more_rss < 200
    assert slower < 10
    if long:
        assert slower <= 1.5
    figure(
        "Callers that connect and are slow",
        done=f"{how_many['idle']:,} connections without a word, {how_many['halves']} half "
        f"handshakes, {how_many['slow']} streams at a byte a second, {how_many['deaf']} callers "
        "who never read",
        p99_of_others_as_a_multiple_of_that_without_them=round(slower, 2),
        more_descriptors_afterwards=more_fds,
        more_tasks_afterwards=more_tasks,
        server_memory_grew_mib=round(more_rss),
    )
