"""Reading one event on a copy of the database, where it shows what the reader must see."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from datetime import datetime
from time import monotonic
from typing import Protocol, TypeVar
from uuid import UUID

import asyncpg

from common.db.events import event_not_found, standing_from_row
from common.db.pool import REPLACED, Connection, Database
from common.db.sql import load_queries
from common.errors import DatabaseUnavailable, OutOfSpace, SetupError
from common.metrics import Metrics
from common.names import EventName
from common.traces.span import stage

log = logging.getLogger(__name__)
SQL = load_queries("common.db")
T = TypeVar("T")
Work = Callable[[Connection], Awaitable[T]]
_LOOK_S = 1.0
"""Longest wait for a replica to say what it shows."""
_POLL_S = 0.001
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 15.0
_FAULTS = (DatabaseUnavailable, OutOfSpace, SetupError, asyncpg.PostgresError, TimeoutError)


class Reads(Protocol):
    """Where something is read of one event in a snapshot, at least as the primary showed the event
    when that was asked for."""

    async def read(self, work: Work[T], event: EventName) -> T:
        """Do `work`, perhaps again, so it must not change anything. Raises DatabaseUnavailable, and
        EventNotFound or as `work` does."""

    async def rinse(self) -> None:
        """Let go of all that was read before, see `Database.rinse`."""


class Signs:
    """The last signs of life of this Searcher that the present primary has committed.

    A server that shows one of them follows that primary, and has all that was committed before. One
    that followed another which is gone may show events as nobody else knows them.
    """

    _MOST = 60

    def __init__(self) -> None:
        self._server: datetime | None = None
        self._known_s: OrderedDict[datetime, float] = OrderedDict()

    def add(self, server: datetime, sign: datetime) -> None:
        """`server` has committed it."""
        if server != self._server:
            self._known_s.clear()
        self._server = server
        self._known_s[sign] = monotonic()
        if len(self._known_s) > self._MOST:
            self._known_s.popitem(last=False)

    def age_s(self, server: datetime, shown: datetime | None) -> float | None:
        """How far whoever shows this sign is behind `server`, at least; None for too far."""
        if server != self._server or shown is None or shown not in self._known_s:
            return None
        missing = [known_s for sign, known_s in self._known_s.items() if sign > shown]
        return monotonic() - min(missing) if missing else 0.0


class _NotThere(Exception):
    """The primary has to be read. `outcome`: as the metric says it."""

    def __init__(self, outcome: str) -> None:
        super().__init__(outcome)
        self.outcome = outcome


class Replica:
    """Reads on a replica, or on the primary where that is away, fails or is behind for too long."""

    def __init__(
        self, replica: Database, primary: Database, searcher_id: UUID, signs: Signs,
        wait_s: float, metrics: Metrics,
    ) -> None:  # fmt: skip
        self._replica = replica
        self._primary = primary
        self._searcher_id = searcher_id
        self._signs = signs
        self._wait_s = wait_s
        self._metrics = metrics
        self._pause_s = _FIRST_PAUSE_S
        self._again_s = 0.0

    async def read(self, work: Work[T], event: EventName) -> T:
        """As `Reads.read`."""
        try:
            with stage("replica"):
                found = await self._read(work, event)
        except _NotThere as error:
            self._metrics.replica_reads.labels(error.outcome).inc()
            return await self._primary.read(work, event)
        self._metrics.replica_reads.labels("read").inc()
        return found

    async def rinse(self) -> None:
        """As `Reads.rinse`."""
        await self._replica.rinse()

    async def _read(self, work: Work[T], event: EventName) -> T:
        if monotonic() < self._again_s:
            raise _NotThere("away")
        async with self._primary.statements(event) as connection:
            needed = await self._shown(connection, event)
        if needed is None:
            raise event_not_found(event)
        try:
            found = await self._read_once_shown(work, event, needed)
        except _FAULTS as error:
            self._rest(error)
            raise _NotThere("failed") from error
        self._pause_s = _FIRST_PAUSE_S
        return found

    async def _read_once_shown(self, work: Work[T], event: EventName, needed: asyncpg.Record) -> T:
        until_s = monotonic() + self._wait_s
        while True:
            try:
                async with asyncio.timeout(_LOOK_S) as look, self._replica.snapshot(event) as copy:
                    if self._covers(needed, await self._shown(copy, event)):
                        look.reschedule(None)
                        return await work(copy)
            except REPLACED:
                pass  # as on the primary, see Database.read
            if monotonic() >= until_s:
                raise _NotThere("behind")
            await asyncio.sleep(_POLL_S)

    async def _shown(self, connection: Connection, event: EventName) -> asyncpg.Record | None:
        return await connection.fetchrow(SQL["shown"], event.key, self._searcher_id)

    def _covers(self, needed: asyncpg.Record, shown: asyncpg.Record | None) -> bool:
        """Whether a copy that shows this has all that the primary had when it showed `needed`.

        What is committed comes to a copy in the order of its commits. So with a later version of
        the event it has whatever the primary had at that one.
        """
        if shown is None:
            return False
        behind_s = self._signs.age_s(needed["server"], shown["sign"])
        if behind_s is None or shown["uid"] != needed["uid"]:
            return False
        self._metrics.replica_lag_seconds.set(behind_s)
        if shown["version"] > needed["version"]:
            return True
        same = standing_from_row(shown) == standing_from_row(needed)
        return same and bool(shown["photos_pending"] <= needed["photos_pending"])

    def _rest(self, error: BaseException) -> None:
        """Leave the replica alone for a while, longer each time."""
        self._replica.drop_connections()
        self._again_s = monotonic() + self._pause_s
        self._pause_s = min(self._pause_s * 2, _LONGEST_PAUSE_S)
        extra = {"action": "replica_failed"}
        said = f"{type(error).__name__}: {error}"
        log.warning("a replica failed (%s); the primary is read", said, extra=extra)
