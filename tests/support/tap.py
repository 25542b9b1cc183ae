"""A relay between a client and an Indexer that sees which photos go by."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress

from facepass.v1 import indexer_pb2

_PREFACE_BYTES = 24
_FRAME_HEADER_BYTES = 9
_MESSAGE_HEADER_BYTES = 5
_DATA = 0

Seen = Callable[[indexer_pb2.IndexPhotosRequest], None]


class _Stream:
    """The messages in HTTP/2's DATA frames; streams of photos are the only calls there are."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._skip = _PREFACE_BYTES
        self._messages: dict[int, bytearray] = {}

    def feed(self, data: bytes) -> Iterator[indexer_pb2.IndexPhotosRequest]:
        self._bytes += data
        while frame := self._frame():
            kind, stream, payload = frame
            if kind == _DATA:
                message = self._messages.setdefault(stream, bytearray())
                message += payload
                yield from _complete(message)

    def _frame(self) -> tuple[int, int, bytes] | None:
        start = self._skip + _FRAME_HEADER_BYTES
        if len(self._bytes) < start:
            return None
        header = self._bytes[self._skip : start]
        end = start + int.from_bytes(header[:3])
        if len(self._bytes) < end:
            return None
        payload = bytes(self._bytes[start:end])
        del self._bytes[:end]
        self._skip = 0
        return header[3], int.from_bytes(header[5:]), payload


def _complete(data: bytearray) -> Iterator[indexer_pb2.IndexPhotosRequest]:
    while len(data) >= _MESSAGE_HEADER_BYTES:
        end = _MESSAGE_HEADER_BYTES + int.from_bytes(data[1:_MESSAGE_HEADER_BYTES])
        if len(data) < end:
            return
        yield indexer_pb2.IndexPhotosRequest.FromString(bytes(data[_MESSAGE_HEADER_BYTES:end]))
        del data[:end]


@asynccontextmanager
async def tapped(address: str, seen: Seen) -> AsyncIterator[str]:
    """Relay to `address` for as long as the context lasts, and tell `seen` of each request of a
    stream before it is passed on; yields the address to connect to."""

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = address.rpartition(":")
        try:
            onward, back = (await asyncio.open_connection(host, int(port)))[::-1]
        except OSError:  # nobody is there now
            writer.close()
            return
        stream = _Stream()

        def look(data: bytes) -> None:
            for request in stream.feed(data):
                seen(request)

        await asyncio.gather(_pump(reader, onward, look), _pump(back, writer, lambda _: None))

    server = await asyncio.start_server(relay, "127.0.0.1", 0, family=socket.AF_INET)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, look: Callable[[bytes], None]
) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65_536):
            look(data)
            writer.write(data)
            await writer.drain()
    writer.close()
