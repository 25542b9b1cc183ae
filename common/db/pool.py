"""The way to Postgres: one pool a process, and the one place where driver errors become ours."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from time import perf_counter
from typing import TypeAlias, TypeVar

import asyncpg

from common.db.sql import load_queries
from common.errors import DatabaseUnavailable, FacePassError, OutOfSpace
from common.names import EventName
from common.traces.span import stage

Connection: TypeAlias = asyncpg.Connection
SQL = load_queries("common.db")
T = TypeVar("T")
# An event's own relation was replaced between the look at the event's row and the look into it.
REPLACED = (
    asyncpg.UndefinedTableError,
    asyncpg.InvalidSchemaNameError,
    # A migration of the next release came; the driver prepares its statements anew.
    asyncpg.InvalidCachedStatementError,
)
_ATTEMPTS = 5
_NODES_S = 0.02
"""By so much later than another a node may show a commit that reached both."""
_EVENT = "facepass.event_id"
"""The setting that the policies of the wall compare with."""
_ON_ALL_NODES = "SET LOCAL citus.propagate_set_commands = 'local'; DO 'BEGIN {set}; END'"
"""Has Citus repeat on each node that a transaction reaches what is set for it. It repeats the whole
message that the setting stands in: hence the block, which is a message without a BEGIN."""
_SPLIT = "could not find valid entry for shard"
"""What Citus says where a shard was split after it was chosen for a statement."""
_KEPT_OF = 4
"""One in so many connections may stay out of the pool between short statements."""
_GOODBYE_S = 1.0
"""Longest wait for a connection to get over a statement that failed. Past it the connection is
closed, and Postgres rolls back: whose caller is gone must not be held while the network is dead."""
_AWAY = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    # What a transaction ends with whose connection broke while Postgres was telling why.
    asyncpg.InternalClientError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ReadOnlySQLTransactionError,
    # Between a commit and whoever moves its event to another node.
    asyncpg.DeadlockDetectedError,
    OSError,
)


class SnapshotNeeded(Exception):
    """What several statements read does not fit together: read it again in a snapshot."""


class CommitUnknown(DatabaseUnavailable):
    """Postgres was asked to commit and did not say that it has: it may have, or may yet."""


@dataclass(frozen=True, slots=True)
class PoolLoad:
    """How many connections there are and what they do, and how many calls wait for one."""

    busy: int
    idle: int
    most: int
    waiting: int


@dataclass(frozen=True, slots=True)
class _Kept:
    """A connection out of the pool, and the event that its session sees as far as we know."""

    connection: asyncpg.Connection
    sees: str | None


class Database:
    """A pool of connections, handed out inside transactions.

    What is done for an event names it here, as the call was allowed it. Postgres then lets that
    event's rows through and no others, whatever a query asks for; without an event, none that hold
    anybody's data. This is the only place that says which.

    connections: those that are open, whoever has them.
    """

    def __init__(
        self,
        pool: asyncpg.Pool,
        acquire_timeout_s: float,
        connections: Iterable[asyncpg.Connection] = (),
    ) -> None:
        self._pool = pool
        self._acquire_timeout_s = acquire_timeout_s
        self._connections = connections
        self._kept: list[_Kept] = []
        self._to_rinse: set[int] = set()
        """Process numbers of connections that are rinsed once they are given back."""
        self._waiting = 0
        self.waited: Callable[[float], object] = lambda _: None
        """Told of each wait for a connection, in seconds."""
        self._servers: set[datetime] = set()
        self.distributed = False
        """Whether event data may be on other nodes, by Citus: they see what a transaction sets, and
        nothing that a session does; and each has a snapshot of its own."""
        self.replaced: Callable[[], object] = lambda: None
        """Told that another server answers now, before anybody reads what it holds: the last of
        what the one before held may be gone."""

    def met(self, server: datetime) -> None:
        """A connection was opened to the server that was started then."""
        if self._servers and server not in self._servers:
            self.replaced()
        self._servers.add(server)

    @property
    def load(self) -> PoolLoad:
        """What the pool does now."""
        idle = self._pool.get_idle_size() + len(self._kept)
        busy = max(self._pool.get_size() - idle, 0)
        return PoolLoad(busy, idle, self._pool.get_max_size(), self._waiting)

    @asynccontextmanager
    async def transaction(
        self, event: EventName | None = None
    ) -> AsyncIterator[asyncpg.Connection]:
        """A read-committed transaction. Raises DatabaseUnavailable when Postgres is away or too
        slow."""
        async with self._transaction(event, "READ COMMITTED") as connection:
            yield connection

    @asynccontextmanager
    async def statements(self, event: EventName | None = None) -> AsyncIterator[asyncpg.Connection]:
        """A connection whose statements each see what is committed when they begin: cheaper than
        a snapshot. Raises SnapshotNeeded where an event's own relation was replaced meanwhile."""
        if self.distributed and event is not None:
            try:
                async with self._transaction(event, "READ COMMITTED", looking=True) as connection:
                    yield connection
            except REPLACED as error:
                raise SnapshotNeeded from error
            return
        try:
            kept = await self._take(_seen(event))
            connection = kept.connection
            try:
                # Transactions say for themselves what they see, so the session's word is only ours.
                if kept.sees != _seen(event):
                    await connection.execute(f"SET {_EVENT} = '{_seen(event)}'")
                yield connection
            except BaseException as error:
                _discard_if_demoted(connection, error)
                await self._release(connection)
                raise
            await self._put_back(_Kept(connection, _seen(event)))
        except REPLACED as error:
            raise SnapshotNeeded from error
        except _AWAY as error:
            raise _ours(error) from error

    async def _take(self, seen: str) -> _Kept:
        # Taking one from the pool and giving it back costs more than a short statement.
        while self._kept:
            kept = next((each for each in self._kept if each.sees == seen), self._kept[-1])
            self._kept.remove(kept)
            if _is_open(kept.connection):
                return kept
            await self._release(kept.connection)
        return _Kept(await self._acquire(), None)

    async def _acquire(self) -> asyncpg.Connection:
        self._waiting += 1
        started = perf_counter()
        try:
            with stage("connection"):
                return await self._pool.acquire(timeout=self._acquire_timeout_s)
        finally:
            self._waiting -= 1
            self.waited(perf_counter() - started)

    async def _put_back(self, kept: _Kept) -> None:
        room = len(self._kept) < self._pool.get_max_size() // _KEPT_OF
        if room and _is_open(kept.connection) and not self._is_to_rinse(kept.connection):
            self._kept.append(kept)
        else:
            await self._release(kept.connection)

    async def _release(self, connection: asyncpg.Connection) -> None:
        # One that broke is gone already, and asyncpg closes what cannot be given back in time.
        with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            if self._is_to_rinse(connection):
                self._to_rinse.discard(connection.get_server_pid())
                await _rinse(connection)
            await self._pool.release(connection, timeout=_GOODBYE_S)

    def _is_to_rinse(self, connection: asyncpg.Connection) -> bool:
        return connection.get_server_pid() in self._to_rinse

    async def rinse(self) -> None:
        """Let go of all that came from Postgres before this was called: the driver keeps the last
        pieces that came over each connection. Those in use are rinsed once they are given back."""
        self._to_rinse = {c.get_server_pid() for c in self._connections if not c.is_closed()}
        idle = [kept.connection for kept in self._kept]
        self._kept.clear()
        try:
            while self._pool.get_idle_size():
                idle.append(await self._acquire())
        except (FacePassError, *_AWAY):
            self.drop_connections()
        finally:
            for connection in idle:
                await self._release(connection)

    async def close(self) -> None:
        """Give back what was kept from the pool."""
        while self._kept:
            await self._release(self._kept.pop().connection)

    def drop_connections(self) -> None:
        """Close every connection that is not in a transaction: Postgres does not answer, and what
        was opened before may be dead although nobody was told."""
        self._kept.clear()
        for connection in list(self._connections):
            if not connection.is_closed() and not connection.is_in_transaction():
                connection.terminate()

    async def read(
        self,
        work: Callable[[asyncpg.Connection], Awaitable[T]],
        event: EventName | None = None,
    ) -> T:
        """Do `work` in a snapshot; again in a new one where an event's own relation was replaced
        meanwhile, or lives on another node, which shows a commit earlier or later than the event's:
        so it must not change anything."""
        for attempt in range(_ATTEMPTS):
            try:
                async with self.snapshot(event) as connection:
                    return await work(connection)
            except (*REPLACED, SnapshotNeeded) as error:
                if attempt == _ATTEMPTS - 1:
                    raise
                if isinstance(error, SnapshotNeeded):
                    await asyncio.sleep(_NODES_S)
        raise AssertionError

    @asynccontextmanager
    async def snapshot(self, event: EventName | None = None) -> AsyncIterator[asyncpg.Connection]:
        """A read-only transaction in which every query sees the same state."""
        async with self._transaction(event, "REPEATABLE READ", readonly=True) as connection:
            yield connection

    @asynccontextmanager
    async def copying(self, event: EventName) -> AsyncIterator[asyncpg.Connection]:
        """A transaction in which every query sees the same state, for writing what was read to
        where nobody else writes."""
        async with self._transaction(event, "REPEATABLE READ") as connection:
            yield connection

    @asynccontextmanager
    async def _transaction(
        self,
        event: EventName | None,
        isolation: str,
        *,
        readonly: bool = False,
        looking: bool = False,
    ) -> AsyncIterator[asyncpg.Connection]:
        """looking: nothing is changed, though it might be."""
        try:
            connection = await self._acquire()
            try:
                access = "READ ONLY" if readonly else "READ WRITE"
                see = f"SET LOCAL {_EVENT} = '{_seen(event)}'"
                if self.distributed and event is not None:
                    see = _ON_ALL_NODES.format(set=see.replace("'", "''"))
                await _begin(connection, f"ISOLATION LEVEL {isolation} {access}", see)
                try:
                    if self.distributed and event is not None and not (readonly or looking):
                        await connection.execute(SQL["hold_place"], event.key)
                    yield connection
                except BaseException as error:
                    _discard_if_demoted(connection, error)
                    await _roll_back(connection)
                    raise
                await _commit(connection, readonly=readonly)
            finally:
                await self._release(connection)
        except _AWAY as error:
            raise _ours(error) from error
        except asyncpg.InvalidCachedStatementError as error:
            if readonly:
                raise
            raise _ours(error) from error
        except asyncpg.InternalServerError as error:
            if not self.distributed or _SPLIT not in str(error):
                raise
            if readonly or looking:
                raise SnapshotNeeded from error
            raise _ours(error) from error


def _seen(event: EventName | None) -> str:
    """The value of the setting: digits or nothing."""
    return "" if event is None else str(event.key)


def _is_open(connection: asyncpg.Connection) -> bool:
    try:
        return not connection.is_closed()
    except asyncpg.InterfaceError:
        return False  # it broke, and the pool has taken it back


async def _rinse(connection: asyncpg.Connection) -> None:
    """Receive twice more: then nobody holds what came before, see asyncpg's ReadBuffer."""
    try:
        async with asyncio.timeout(_GOODBYE_S):
            for _ in range(2):
                await connection.execute(SQL["sign_of_life"])
    except Exception:
        _discard(connection)


async def _begin(connection: asyncpg.Connection, how: str, see: str) -> None:
    try:
        # Both in one message, so that it takes no longer than BEGIN.
        await connection.execute(f"BEGIN {how}; {see}")
    except asyncpg.FeatureNotSupportedError as error:
        _discard(connection)
        raise asyncpg.ReadOnlySQLTransactionError("a standby begins no such transaction") from error
    except BaseException:
        _discard(connection)
        raise


async def _roll_back(connection: asyncpg.Connection) -> None:
    try:
        async with asyncio.timeout(_GOODBYE_S):
            await connection.execute("ROLLBACK")
    except BaseException as error:
        _discard(connection)
        if not isinstance(error, Exception):
            raise


async def _commit(connection: asyncpg.Connection, *, readonly: bool) -> None:
    try:
        await connection.execute("COMMIT")
    except BaseException as error:
        _discard(connection)
        if readonly or not isinstance(error, Exception):
            raise
        # Whatever it is: Postgres may fail, or tell so, after the commit has reached the disk.
        raise CommitUnknown(
            "the database did not say whether it stored this; send it again"
        ) from error


def _discard_if_demoted(connection: asyncpg.Connection, error: BaseException) -> None:
    """A server that takes no writes any more is not asked again by this connection."""
    if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
        _discard(connection)


def _discard(connection: asyncpg.Connection) -> None:
    # It may be lost and back in the pool already.
    with suppress(asyncpg.InterfaceError):
        connection.terminate()


def _ours(error: BaseException) -> FacePassError:
    if isinstance(error, asyncpg.DiskFullError):
        return OutOfSpace("the database's disk is full; it must be given space before more is sent")
    return DatabaseUnavailable("the database is not available; try again")
