"""Clients that send photos, in a process of their own.

usage: python -m bench.index_client     takes orders, see `bench.index_child`

An order is answered `begun` with its first photo's result, then with what became of all. The order
`stop` in between ends it, and what was sent and is not answered is called back.
"""

import standalone  # noqa: F401 - before gRPC, for which it sets the environment

# isort: split

import asyncio
import json
import sys
import threading
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue
from time import perf_counter
from typing import IO

from facepass import AsyncClient, PhotoSource
from facepass.v1 import indexer_pb2, types_pb2

from bench.index_child import own_output, tell

STOP = "stop"


@dataclass(frozen=True, slots=True)
class Order:
    """What to send. photos: files, sent `repeats` times under ever new ids, by so many clients.

    event: created here. closely: look for small faces too (Detail HIGH).
    """

    address: str
    event: str
    photos: Sequence[str]
    repeats: int = 1
    clients: int = 1
    closely: bool = False


@dataclass
class Sent:
    """What became of the photos. seconds: from the first call to the last answer."""

    photos: int = 0
    faces: int = 0
    failed: int = 0
    seconds: float = 0.0


class Sending:
    """One order being carried out."""

    def __init__(self, order: Order, output: IO[str]) -> None:
        self._order = order
        self._output = output
        self._contents = [(Path(each).name, Path(each).read_bytes()) for each in order.photos]
        self._sent = Sent()
        self.stopped = threading.Event()

    async def run(self) -> Sent:
        """Send everything; returns once the last photo is answered."""
        order = self._order
        clients = [AsyncClient(indexer=order.address) for _ in range(order.clients)]
        try:
            await clients[0].create_event(order.event)
            started = perf_counter()
            await asyncio.gather(*(self._send(each, n) for n, each in enumerate(clients)))
            self._sent.seconds = perf_counter() - started
        finally:
            await asyncio.gather(*(client.close() for client in clients))
        return self._sent

    def _photos(self, client: int) -> Iterator[PhotoSource]:
        """The client's share of the photos."""
        total = self._order.repeats * len(self._contents)
        for number in range(client, total, self._order.clients):
            name, content = self._contents[number % len(self._contents)]
            yield PhotoSource(f"{number // len(self._contents)}-{name}", content)

    async def _send(self, client: AsyncClient, number: int) -> None:
        detail = types_pb2.DETAIL_HIGH if self._order.closely else types_pb2.DETAIL_STANDARD
        results = client.index_photos(
            self._order.event,
            self._photos(number),
            quality_filter=types_pb2.QUALITY_FILTER_NONE,
            detail=detail,
            max_faces=1000,
        )
        assert isinstance(results, AsyncGenerator)
        async with aclosing(results):
            async for result in results:
                self._count(result)
                if self.stopped.is_set():
                    break

    def _count(self, result: indexer_pb2.PhotoResult) -> None:
        if not self._sent.photos:
            tell(self._output, {"begun": True})
        self._sent.photos += 1
        self._sent.faces += len(result.photo.faces)
        self._sent.failed += result.state != types_pb2.PHOTO_STATE_INDEXED


def main() -> None:
    """Take orders until there are no more."""
    output, lines = own_output(), SimpleQueue[str]()
    tell(output, {"ready": True})
    sending: Sending | None = None

    def read() -> None:
        for line in sys.stdin:
            if line.strip() != json.dumps({STOP: True}):
                lines.put(line)
            elif sending is not None:
                sending.stopped.set()
        lines.put("")

    threading.Thread(target=read, daemon=True).start()
    while line := lines.get():
        sending = Sending(Order(**json.loads(line)), output)
        tell(output, asdict(asyncio.run(sending.run())))


if __name__ == "__main__":
    main()
