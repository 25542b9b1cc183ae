"""HTTP/2 by hand, for callers that no gRPC client would be: ones that send slowly, never read, or
compress a gigabyte into a message."""

import socket
import struct
from collections.abc import Sequence
from contextlib import suppress

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE = 0, 1, 3, 4, 6, 8
END_STREAM, ACK, END_HEADERS = 1, 1, 4
INITIAL_WINDOW_SIZE = 4
MAX_FRAME = 16_384


class RawConnection:
    """A connection that does only what it is told to, less answering settings and pings."""

    def __init__(self, address: str, *, window: int = 65_535) -> None:
        """window: bytes of answers that each stream may be sent."""
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=30)
        settings = struct.pack(">HI", INITIAL_WINDOW_SIZE, window)
        self.socket.sendall(PREFACE + frame(SETTINGS, 0, 0, settings))
        self._next_stream = 1
        self._first_window = 65_535
        self._windows: dict[int, int] = {0: 65_535}
        self._over: set[int] = set()
        self.headers: dict[int, bytes] = {}
        """The block of the last headers that came, by stream."""

    def call(self, method: str, headers: Sequence[tuple[str, str]] = ()) -> int:
        """Begin a call; returns its stream."""
        stream = self._next_stream
        self._next_stream += 2
        self._windows[stream] = self._first_window
        fields = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", method),
            (":authority", "localhost"),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            *headers,
        ]
        self.socket.sendall(frame(HEADERS, END_HEADERS, stream, b"".join(map(_literal, fields))))
        return stream

    def send(self, stream: int, data: bytes) -> None:
        """Send bytes of a call, as fast as the server lets us, until it ends the call. Raises
        OSError, EOFError."""
        while data and stream not in self._over:
            size = min(len(data), MAX_FRAME, self._windows[0], self._windows[stream])
            if size <= 0:
                self.read()
                continue
            self.socket.sendall(frame(DATA, 0, stream, data[:size]))
            data = data[size:]
            self._windows[0] -= size
            self._windows[stream] -= size

    def read(self) -> tuple[int, int, int, bytes]:
        """Wait for a frame: type, flags, stream, payload. Raises OSError, EOFError."""
        kind, flags, stream, payload = self._frame()
        if kind in (SETTINGS, PING) and not flags & ACK:
            self.socket.sendall(frame(kind, ACK, 0, payload if kind == PING else b""))
        self._heed(kind, flags, stream, payload)
        return kind, flags, stream, payload

    def _heed(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == WINDOW_UPDATE:
            self._windows[stream] = self._windows.get(stream, 0) + int.from_bytes(payload, "big")
        elif kind == SETTINGS and not flags & ACK:
            for place in range(0, len(payload), 6):
                name, value = struct.unpack_from(">HI", payload, place)
                if name == INITIAL_WINDOW_SIZE:
                    for each in self._windows.keys() - {0}:
                        self._windows[each] += value - self._first_window
                    self._first_window = value
        elif kind == HEADERS:
            self.headers[stream] = payload
        if kind == RST_STREAM or (kind == HEADERS and flags & END_STREAM):
            self._over.add(stream)

    def ended(self, stream: int) -> bytes:
        """Read until the call has ended; returns the block of its last headers, or b'' where it has
        not, was reset, or the connection closed without any."""
        with suppress(OSError, EOFError):
            while stream not in self._over:
                self.read()
        return self.headers.get(stream, b"") if stream in self._over else b""

    def close(self) -> None:
        self.socket.close()

    def _frame(self) -> tuple[int, int, int, bytes]:
        head = self._read(9)
        length = int.from_bytes(head[:3], "big")
        stream = int.from_bytes(head[5:], "big") & 0x7FFF_FFFF
        return head[3], head[4], stream, self._read(length)

    def _read(self, size: int) -> bytes:
        parts = []
        while size:
            part = self.socket.recv(size)
            if not part:
                raise EOFError
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """One frame."""
    return (
        struct.pack(">I", len(payload))[1:]
        + bytes([kind, flags])
        + struct.pack(">I", stream)
        + payload
    )


def message(content: bytes, *, compressed: bool = False) -> bytes:
    """A gRPC message: its prefix and its bytes."""
    return struct.pack(">?I", compressed, len(content)) + content


def _literal(field: tuple[str, str]) -> bytes:
    """A header as HPACK's literal without indexing; names and values of up to 126 bytes."""
    name, value = (text.encode() for text in field)
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value
