"""The way to Postgres: one pool a process, and the one place where driver errors become ours."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from time import perf_counter
from typing import Literal, TypeAlias, TypeVar

import asyncpg
from asyncpg.transaction import Transaction

from common.errors import DatabaseUnavailable, FacePassError, OutOfSpace

Connection: TypeAlias = asyncpg.Connection
T = TypeVar("T")
# An event's own relation was replaced between the look at the event's row and the look into it.
_REPLACED = (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError)
_ATTEMPTS = 5
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


class Database:
    """A pool of connections, handed out inside transactions.

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
        self._kept: list[asyncpg.Connection] = []
        self._waiting = 0
        self.waited: Callable[[float], object] = lambda _: None
        """Told of each wait for a connection, in seconds."""

    @property
    def load(self) -> PoolLoad:
        """What the pool does now."""
        idle = self._pool.get_idle_size() + len(self._kept)
        busy = max(self._pool.get_size() - idle, 0)
        return PoolLoad(busy, idle, self._pool.get_max_size(), self._waiting)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[asyncpg.Connection]:
        """A read-committed transaction. Raises DatabaseUnavailable when Postgres is away or too
        slow."""
        async with self._transaction("read_committed", readonly=False) as connection:
            yield connection

    @asynccontextmanager
    async def statements(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection whose statements each see what is committed when they begin: cheaper than
        a snapshot. Raises SnapshotNeeded where an event's own relation was replaced meanwhile."""
        try:
            connection = await self._take()
            try:
                yield connection
            except BaseException:
                await self._release(connection)
                raise
            await self._put_back(connection)
        except _REPLACED as error:
            raise SnapshotNeeded from error
        except _AWAY as error:
            raise _ours(error) from error

    async def _take(self) -> asyncpg.Connection:
        # Taking one from the pool and giving it back costs more than a short statement.
        while self._kept:
            connection = self._kept.pop()
            if not connection.is_closed():
                return connection
            await self._release(connection)
        return await self._acquire()

    async def _acquire(self) -> asyncpg.Connection:
        self._waiting += 1
        started = perf_counter()
        try:
            return await self._pool.acquire(timeout=self._acquire_timeout_s)
        finally:
            self._waiting -= 1
            self.waited(perf_counter() - started)

    async def _put_back(self, connection: asyncpg.Connection) -> None:
        if len(self._kept) < self._pool.get_max_size() // _KEPT_OF and not connection.is_closed():
            self._kept.append(connection)
        else:
            await self._release(connection)

    async def _release(self, connection: asyncpg.Connection) -> None:
        # What cannot be given back in time is closed by asyncpg.
        with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            await self._pool.release(connection, timeout=_GOODBYE_S)

    async def close(self) -> None:
        """Give back what was kept from the pool."""
        while self._kept:
            await self._release(self._kept.pop())

    def drop_connections(self) -> None:
        """Close every connection that is not in a transaction: Postgres does not answer, and what
        was opened before may be dead although nobody was told."""
        self._kept.clear()
        for connection in list(self._connections):
            if not connection.is_closed() and not connection.is_in_transaction():
                connection.terminate()

    async def read(self, work: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        """Do `work` in a snapshot; again in a new one where an event's own relation was replaced
        meanwhile, so it must not change anything."""
        for attempt in range(_ATTEMPTS):
            try:
                async with self.snapshot() as connection:
                    return await work(connection)
            except _REPLACED:
                if attempt == _ATTEMPTS - 1:
                    raise
        raise AssertionError

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[asyncpg.Connection]:
        """A read-only transaction in which every query sees the same state."""
        async with self._transaction("repeatable_read", readonly=True) as connection:
            yield connection

    @asynccontextmanager
    async def copying(self) -> AsyncIterator[asyncpg.Connection]:
        """A transaction in which every query sees the same state, for writing what was read to
        where nobody else writes."""
        async with self._transaction("repeatable_read", readonly=False) as connection:
            yield connection

    @asynccontextmanager
    async def _transaction(
        self, isolation: Literal["read_committed", "repeatable_read"], *, readonly: bool
    ) -> AsyncIterator[asyncpg.Connection]:
        try:
            connection = await self._acquire()
            try:
                transaction = connection.transaction(isolation=isolation, readonly=readonly)
                await _begin(connection, transaction)
                try:
                    yield connection
                except BaseException:
                    await _roll_back(connection, transaction)
                    raise
                await _commit(connection, transaction, readonly=readonly)
            finally:
                await self._release(connection)
        except _AWAY as error:
            raise _ours(error) from error


async def _begin(connection: asyncpg.Connection, transaction: Transaction) -> None:
    try:
        await transaction.start()
    except BaseException:
        _discard(connection)
        raise


async def _roll_back(connection: asyncpg.Connection, transaction: Transaction) -> None:
    try:
        async with asyncio.timeout(_GOODBYE_S):
            await transaction.rollback()
    except BaseException as error:
        _discard(connection)
        if not isinstance(error, Exception):
            raise


async def _commit(
    connection: asyncpg.Connection, transaction: Transaction, *, readonly: bool
) -> None:
    try:
        await transaction.commit()
    except BaseException as error:
        _discard(connection)
        if readonly or not isinstance(error, Exception):
            raise
        # Whatever it is: Postgres may fail, or tell so, after the commit has reached the disk.
        raise CommitUnknown(
            "the database did not say whether it stored this; send it again"
        ) from error


def _discard(connection: asyncpg.Connection) -> None:
    # It may be lost and back in the pool already.
    with suppress(asyncpg.InterfaceError):
        connection.terminate()


def _ours(error: BaseException) -> FacePassError:
    if isinstance(error, asyncpg.DiskFullError):
        return OutOfSpace("the database's disk is full; it must be given space before more is sent")
    return DatabaseUnavailable("the database is not available; try again")
