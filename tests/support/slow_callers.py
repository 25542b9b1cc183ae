"""Callers that connect and say nothing, send a byte at a time or never read, in a process of their
own, so that they take no time from the servers' event loop.

usage: slow_callers.py ADDRESS HOW_MANY     counts as JSON; goes on until its standard input ends
"""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from facepass.v1 import indexer_pb2 as pb
from raw_http2 import PREFACE, RawConnection, message

from common.vision.fake.photos import fake_photo

INDEX_PHOTOS = "/facepass.v1.Indexer/IndexPhotos"
PHOTO = fake_photo([1])


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

    def __init__(
        self, address: str, *, idle: int, halves: int, slow: int, deaf: int, first_photo: int
    ) -> None:
        """first_photo: number of the first of those who never read; the others' follow."""
        host, _, port = address.rpartition(":")
        place = (host, int(port))
        self._sockets = [socket.create_connection(place) for _ in range(idle + halves)]
        for each in self._sockets[:halves]:
            each.sendall(PREFACE[: len(PREFACE) // 2])
        self._slow = [RawConnection(address) for _ in range(slow)]
        self._streams = [each.call(INDEX_PHOTOS) for each in self._slow]
        self._deaf = [RawConnection(address, window=0) for _ in range(deaf)]
        for number, connection in enumerate(self._deaf, first_photo):
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
        parts = [b"".join(stream_of(number)) for number in range(len(self._slow))]
        sent = 0
        while not self._done.wait(1):
            for connection, stream, part in zip(self._slow, self._streams, parts, strict=True):
                with suppress(OSError, EOFError):
                    connection.send(stream, part[sent : sent + 1])
            sent += 1


@contextmanager
def slow_callers(address: str, **how_many: int) -> Iterator[None]:
    """Have them there for as long as the context lasts."""
    with subprocess.Popen(
        [sys.executable, __file__, address, json.dumps(how_many)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            assert process.stdout.readline() == "begun\n"
            yield
            process.stdin.close()
            assert process.wait(60) == 0
        finally:
            process.kill()


def main(address: str, how_many: str) -> None:
    """Be slow until told to stop."""
    callers = SlowCallers(address, **json.loads(how_many))
    print("begun", flush=True)
    sys.stdin.read()
    callers.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
