"""Two Indexers and two Searchers on one database, each in a process of its own."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from server_process import ServerProcess, Started, free_ports


class Member:
    """One server of a fleet, at the same address whenever it is started anew."""

    def __init__(self, kind: str, folder: Path, variables: Mapping[str, str]) -> None:
        self.kind = kind
        self.metrics = f"127.0.0.1:{free_ports(1)[0]}"
        listen = f"--{kind}-metrics-listen={self.metrics}"
        self._server = ServerProcess(kind, folder, listen, variables=variables)
        self.address = self._server.indexer if kind == "indexer" else self._server.searcher
        self._run = self._server.start()

    async def ready(self) -> None:
        """Wait until it serves."""
        await self._run.ready()

    @property
    def run(self) -> Started:
        """The run of it that is under way."""
        return self._run

    def kill(self) -> list[psutil.Process]:
        """Kill it, and it alone; returns its workers."""
        return self._run.kill()

    async def killed_and_back(self) -> None:
        """Kill it, and wait until the next one serves."""
        self.kill()
        await self.start()

    async def restarted(self) -> None:
        """End it in good order, and wait until the next one serves."""
        await asyncio.to_thread(self._run.end)
        assert self._run.exit_code == 0, self._run.log.read_text()
        await self.start()

    async def start(self) -> None:
        self._run = self._server.start()
        await self.ready()

    def end(self) -> None:
        self._server.end()

    def said(self) -> str:
        """All that it logged."""
        return self._server.said()


class Fleet:
    """Addresses for clients: `indexers` and `searchers`."""

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        self.members = [
            Member(kind, folder / f"{kind}-{number}", variables)
            for kind in ("indexer", "searcher")
            for number in range(2)
        ]

    def of(self, kind: str) -> list[Member]:
        return [member for member in self.members if member.kind == kind]

    @property
    def indexers(self) -> str:
        return ",".join(member.address for member in self.of("indexer"))

    @property
    def searchers(self) -> str:
        return ",".join(member.address for member in self.of("searcher"))


@asynccontextmanager
async def fleet(folder: Path, dsn: str, **variables: str) -> AsyncIterator[Fleet]:
    """A fleet that serves for as long as the context lasts."""
    made = Fleet(folder, {"DATABASE__DSN": dsn, **variables})
    try:
        await asyncio.gather(*(member.ready() for member in made.members))
        yield made
    finally:
        await asyncio.gather(*(asyncio.to_thread(member.end) for member in made.members))


@dataclass(frozen=True)
class Place:
    """A fleet, a folder that stays where a test fails, and the owner's DSN."""

    fleet: Fleet
    folder: Path
    owner_dsn: str
