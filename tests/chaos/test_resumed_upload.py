"""The Indexer is restarted again and again during one upload: the client library gets it done, and
sends nothing again that it was told of."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any

import pytest
from facepass import AsyncClient, PhotoSource, UploadLimits
from facepass.v1 import indexer_pb2, types_pb2
from server_process import free_ports
from tap import tapped

from common.vision.fake.photos import fake_photo
from indexer.config import IndexerServerSettings, IndexerSettings

PHOTOS, RESTARTS = 300, 10
LIMITS = UploadLimits(photos=16, patience_s=60, first_wait_s=0.05, longest_wait_s=0.5)
GOOD = {types_pb2.PHOTO_STATE_INDEXED, types_pb2.PHOTO_STATE_DUPLICATE}


class Restarted:
    """Servers at one address. `restarts`: how often they were started anew."""

    def __init__(self, serve: Any, seed: int) -> None:
        self.address = f"127.0.0.1:{free_ports(1)[0]}"
        self.restarts = 0
        self._serve = serve
        self._choice = random.Random(seed)
        self._again = asyncio.Event()

    def restart(self) -> None:
        """Do so soon: at once, or while streams may still get an answer."""
        self._again.set()

    async def run(self, up: asyncio.Event) -> None:
        while True:
            grace_s = self._choice.choice([0.0, 0.05])
            listening = IndexerServerSettings(
                listen=self.address, metrics_listen="", shutdown_grace_s=grace_s
            )
            async with self._serve(indexer_settings=IndexerSettings(indexer=listening)):
                up.set()
                await self._again.wait()
                self._again.clear()
                await asyncio.sleep(self._choice.random() * 0.02)
            self.restarts += 1


@asynccontextmanager
async def restarted(serve: Any, seed: int) -> AsyncIterator[Restarted]:
    servers, up = Restarted(serve, seed), asyncio.Event()
    running = asyncio.create_task(servers.run(up))
    try:
        await up.wait()
        yield servers
    finally:
        running.cancel()
        await asyncio.wait([running])


class Sent:
    """What went over the wire. `again`: photos that were sent although the caller had their
    result."""

    def __init__(self, results: list[indexer_pb2.PhotoResult]) -> None:
        self._results = results
        self.photos: Counter[str] = Counter()
        self.size_bytes = 0
        self.again: list[str] = []

    def look(self, request: indexer_pb2.IndexPhotosRequest) -> None:
        self.size_bytes += len(request.chunk.data)
        if photo_id := request.photo.photo_id:
            self.photos[photo_id] += 1
            if any(photo_id == result.photo_id for result in self._results):
                self.again.append(photo_id)


@pytest.mark.timeout(300)
async def test_an_upload_goes_on_through_restarts_of_the_server(
    serving: Any, database: Any, vision: Any, seed: int, figure: Any
) -> None:
    contents = {f"p-{n:03}": fake_photo([n], shot=n % 12, size=(320, 240)) for n in range(PHOTOS)}
    taken: Counter[str] = Counter()

    def source() -> Iterator[PhotoSource]:
        for photo_id, content in contents.items():
            taken[photo_id] += 1
            yield PhotoSource(photo_id, content)

    def serve(**settings: Any) -> Any:
        return serving(database.settings, vision, **settings)

    results: list[indexer_pb2.PhotoResult] = []
    sent = Sent(results)
    async with (
        restarted(serve, seed) as servers,
        tapped(servers.address, sent.look) as address,
        AsyncClient(indexer=servers.address) as direct,
        AsyncClient(indexer=address) as client,
    ):
        await direct.create_event("party")
        async for result in client.index_photos("party", source(), limits=LIMITS):
            results.append(result)
            if len(results) % (PHOTOS // (RESTARTS + 1)) == 0 and servers.restarts < RESTARTS:
                servers.restart()
        stored = {p.name.rpartition("/")[2]: p async for p in direct.list_photos("party")}
        counts = (await direct.get_event("party")).counts
        restarts = servers.restarts
    assert restarts == RESTARTS
    assert {result.state for result in results} <= GOOD
    once = dict.fromkeys(contents, 1)
    assert Counter(result.photo_id for result in results) == taken == once
    assert {name: p.sha256 for name, p in stored.items()} == {
        name: sha256(content).digest() for name, content in contents.items()
    }
    assert counts.photos_indexed == counts.faces == PHOTOS
    assert sent.photos.keys() == contents.keys()
    assert sent.again == []
    # What may be sent twice is what was under way: the window, each time.
    assert sum(sent.photos.values()) - PHOTOS <= restarts * LIMITS.photos
    figure(
        "Indexer restarted during one upload",
        done="ten times during 300 photos; the client library resumes by itself",
        restarts=restarts,
        photos_there_once=len(stored),
        results_told_once=len(results),
        sent_again_after_their_result=len(sent.again),
        sent_again_for_want_of_one=sum(sent.photos.values()) - PHOTOS,
        sent_share_of_all_bytes=f"{sent.size_bytes / sum(map(len, contents.values())):.2f}",
    )
