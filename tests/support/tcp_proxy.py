"""A TCP port before Postgres' Unix socket that spoils connections on command."""

import asyncio
import re
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

_RESET_AT_CLOSE = struct.pack("ii", 1, 0)
_LATE_S = 1.5
_INSERT = re.compile(rb"(__asyncpg_\w+)\0[^\0]*INSERT INTO photo ")


class CommitFault(Enum):
    """What happens to the COMMIT of the next transaction that writes photos."""

    LOST = "the connection is reset before it reaches Postgres"
    UNANSWERED = "the connection is reset before the answer reaches the server"
    LATE = "the connection is reset, and Postgres gets it afterwards"


@dataclass(eq=False)
class _Link:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    up_reader: asyncio.StreamReader
    up_writer: asyncio.StreamWriter
    writes: bool = False
    inserts: set[bytes] = field(default_factory=set)
    """Names of the statements that write photos, which are sent in words once only."""
    spoilt: asyncio.Event | None = None

    def reset(self) -> None:
        self.writer.transport.abort()
        self.up_writer.transport.abort()


class Proxy:
    """Forwards, with what is wrong just now.

    latency_s: how much later Postgres' answers arrive. commit_fault: met once, then cleared, with
    `met` set. goes_down: it does when Postgres answers that commit, before anybody can ask again.
    """

    def __init__(self, dsn: str) -> None:
        parts = urlsplit(dsn)
        self._socket = Path(parse_qs(parts.query)["host"][0]) / ".s.PGSQL.5432"
        self._user, self._path = parts.netloc.rpartition("@")[0], parts.path
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._server: asyncio.Server | None = None
        self.port = 0
        self.latency_s = 0.0
        self.commit_fault: CommitFault | None = None
        self.goes_down = False
        self.met = asyncio.Event()

    @property
    def dsn(self) -> str:
        return f"postgresql://{self._user}@127.0.0.1:{self.port}{self._path}?sslmode=disable"

    async def up(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        """Refuse connections, and reset those that are open."""
        assert self._server is not None
        self._server.close()
        for link in self._links:
            link.reset()
        await asyncio.sleep(0)

    def swallow(self, swallows: bool) -> None:
        """Let nothing through any more, without a word to either side; or what was held back."""
        if swallows:
            self._flowing.clear()
        else:
            self._flowing.set()

    async def close(self) -> None:
        await self.down()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._forward(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
        try:
            up = await asyncio.open_unix_connection(str(self._socket))
        except OSError:
            writer.transport.abort()
            return
        link = _Link(reader, writer, *up)
        self._links.add(link)
        try:
            there, back = map(asyncio.ensure_future, (self._there(link), self._back(link)))
            await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
            for task in (there, back):
                task.cancel()
            await asyncio.gather(there, back, return_exceptions=True)
        finally:
            self._links.discard(link)
            link.reset()

    async def _there(self, link: _Link) -> None:
        while data := await link.reader.read(65536):
            await self._flowing.wait()
            link.inserts.update(_INSERT.findall(data))
            link.writes = link.writes or any(name in data for name in link.inserts)
            if b"COMMIT\0" in data:
                fault = self.commit_fault if link.writes else None
                link.writes = False
                if fault is not None:
                    self.commit_fault = None
                    self.met.set()
                    await self._spoil(link, data, fault)
                    return
            link.up_writer.write(data)
            await link.up_writer.drain()

    async def _spoil(self, link: _Link, data: bytes, fault: CommitFault) -> None:
        if fault is CommitFault.LOST:
            return
        if fault is CommitFault.LATE:
            link.writer.transport.abort()
            await asyncio.sleep(_LATE_S)
        link.spoilt = asyncio.Event()
        link.up_writer.write(data)
        await link.up_writer.drain()
        await link.spoilt.wait()

    async def _back(self, link: _Link) -> None:
        while data := await link.up_reader.read(65536):
            if self.latency_s:
                await asyncio.sleep(self.latency_s)
            await self._flowing.wait()
            if link.spoilt is not None:
                if self.goes_down:
                    await self.down()
                link.spoilt.set()
                return
            link.writer.write(data)
            await link.writer.drain()


@asynccontextmanager
async def proxied(dsn: str) -> AsyncIterator[Proxy]:
    """A proxy before the Postgres of an embedded server's DSN."""
    proxy = Proxy(dsn)
    await proxy.up()
    try:
        yield proxy
    finally:
        with suppress(OSError):
            await proxy.close()
