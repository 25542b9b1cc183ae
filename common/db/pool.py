"""The way to Postgres: one pool a process, and the one place where driver errors become ours."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Literal, TypeAlias, TypeVar

import asyncpg

from common.config import DatabaseSettings
from common.db.codec import register_codecs
from common.db.migrate import pending_migrations
from common.errors import DatabaseUnavailable, SetupError

_SERVER_SETTINGS = {
    "application_name": "facepass",
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    # Planning a look-up anew for each event takes twice as long as the look-up, and each has one
    # plan that is right for any event.
    "plan_cache_mode": "force_generic_plan",
}
Connection: TypeAlias = asyncpg.Connection
T = TypeVar("T")
# An event's own relation was replaced between the look at the event's row and the look into it.
_REPLACED = (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError)
_ATTEMPTS = 5
_KEPT_OF = 4
"""One in so many connections may stay out of the pool between short statements."""
_AWAY = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    # What a transaction ends with whose connection broke while Postgres was telling why.
    asyncpg.InternalClientError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidCatalogNameError,
    OSError,
    TimeoutError,
)


class SnapshotNeeded(Exception):
    """What several statements read does not fit together: read it again in a snapshot."""


class Database:
    """A pool of connections, handed out inside transactions."""

    def __init__(self, pool: asyncpg.Pool, acquire_timeout_s: float) -> None:
        self._pool = pool
        self._acquire_timeout_s = acquire_timeout_s
        self._kept: list[asyncpg.Connection] = []

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
                await self._pool.release(connection)
                raise
            await self._put_back(connection)
        except _REPLACED as error:
            raise SnapshotNeeded from error
        except _AWAY as error:
            raise _unavailable() from error

    async def _take(self) -> asyncpg.Connection:
        # Taking one from the pool and giving it back costs more than a short statement.
        while self._kept:
            connection = self._kept.pop()
            if not connection.is_closed():
                return connection
            await self._pool.release(connection)
        return await self._pool.acquire(timeout=self._acquire_timeout_s)

    async def _put_back(self, connection: asyncpg.Connection) -> None:
        if len(self._kept) < self._pool.get_max_size() // _KEPT_OF and not connection.is_closed():
            self._kept.append(connection)
        else:
            await self._pool.release(connection)

    async def close(self) -> None:
        """Give back what was kept from the pool."""
        while self._kept:
            await self._pool.release(self._kept.pop())

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
            async with (
                self._pool.acquire(timeout=self._acquire_timeout_s) as connection,
                connection.transaction(isolation=isolation, readonly=readonly),
            ):
                yield connection
        except _AWAY as error:
            raise _unavailable() from error


def _unavailable() -> DatabaseUnavailable:
    return DatabaseUnavailable("the database is not available; try again")


async def _nothing_to_reset(_: asyncpg.Connection) -> None:
    """Settings are made for one transaction only, so there is no need to ask Postgres to reset
    them."""


@asynccontextmanager
async def open_database(settings: DatabaseSettings) -> AsyncIterator[Database]:
    """Connect to Postgres for as long as the context lasts. Raises SetupError when that fails."""
    try:
        pool = await asyncpg.create_pool(
            settings.dsn.get_secret_value(),
            min_size=1,
            max_size=settings.pool_size,
            init=register_codecs,
            reset=_nothing_to_reset,
            command_timeout=settings.statement_timeout_s,
            server_settings=_SERVER_SETTINGS
            | {"statement_timeout": str(int(settings.statement_timeout_s * 1000))},
        )
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        raise SetupError(
            f"cannot use the database ({type(error).__name__}: {error}). Check "
            "FACEPASS_DATABASE__DSN, that Postgres runs, and that `facepass-server migrate` was "
            "run; `facepass-server doctor` looks closer"
        ) from error
    try:
        async with pool.acquire() as connection:
            missing = await pending_migrations(connection)
        if missing:
            names = ", ".join(missing)
            raise SetupError(f"the database lacks {names}: run `facepass-server migrate`")
        database = Database(pool, settings.acquire_timeout_s)
        try:
            yield database
        finally:
            await database.close()
    finally:
        await pool.close()
