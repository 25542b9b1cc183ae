"""Opening the way to Postgres: at once, or once Postgres is there."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar
from weakref import WeakSet

import asyncpg

from common.config import DatabaseSettings
from common.db.codec import register_codecs
from common.db.hosts import Hosts
from common.db.migrate import migrate, pending_migrations
from common.db.pool import Database
from common.db.sql import load_queries
from common.db.wall import examine_wall
from common.errors import DatabaseUnavailable, SetupError

log = logging.getLogger(__name__)
SQL = load_queries("common.db")
T = TypeVar("T")
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 3.0
_CLOSE_S = 5.0
_REPLICA_S = 1.0
"""Longest wait for a connection to a replica: the primary is there too."""
_SESSION = {
    "application_name": "facepass",
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    # Planning a look-up anew for each event takes twice as long as the look-up, and each has one
    # plan that is right for any event.
    "plan_cache_mode": "force_generic_plan",
    # A session whose server is gone, or cannot be reached, holds its locks no longer than this.
    "idle_in_transaction_session_timeout": "15s",
    "tcp_user_timeout": "15s",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "2",
}
_WITH_CITUS = "SET plan_cache_mode = auto; SET citus.override_table_visibility = off"
"""What is not one look-up by key is planned anew each time: only then it is known where it goes.
And Citus need not look whether each table of the catalogue is a shard when the driver asks for a
type, which takes it half a second."""
_WRONG = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError)
_NOT_THERE_YET = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    OSError,
)


@asynccontextmanager
async def open_database(
    settings: DatabaseSettings, *, patient: bool = False
) -> AsyncIterator[Database]:
    """Connect to Postgres for as long as the context lasts. Raises SetupError when that fails.

    patient: wait for a Postgres that is away or still starting, as long as it takes. What waiting
    cannot mend is raised all the same.
    """
    connections: WeakSet[asyncpg.Connection] = WeakSet()

    async def prepare(connection: asyncpg.Connection) -> None:
        await register_codecs(connection)
        connections.add(connection)
        server = await connection.fetchrow(SQL["server"])
        if server["citus"]:
            await connection.execute(_WITH_CITUS)
        database.distributed = server["citus"]
        database.met(server["started"])

    hosts = Hosts(settings.dsn.get_secret_value())
    pool = _pool(hosts, settings, prepare, settings.acquire_timeout_s)
    database = Database(pool, settings.acquire_timeout_s, connections)
    async with _open(pool):
        await _require_usable(pool, settings, patient=patient)
        try:
            yield database
        finally:
            await database.close()


@asynccontextmanager
async def open_replica(settings: DatabaseSettings) -> AsyncIterator[Database]:
    """The way to the replicas for as long as the context lasts, whether or not any is there.

    Raises SetupError where the one that is there does not hold events apart for this role. One that
    does not, once it comes, is as good as away.
    """
    connections: WeakSet[asyncpg.Connection] = WeakSet()

    async def prepare(connection: asyncpg.Connection) -> None:
        (await examine_wall(connection)).require()
        await register_codecs(connection)
        connections.add(connection)

    hosts = Hosts(settings.replica_dsn.get_secret_value(), replicas=True)
    pool = _pool(hosts, settings, prepare, _REPLICA_S)
    database = Database(pool, _REPLICA_S, connections)
    async with _open(pool):
        try:
            async with database.statements() as connection:
                await connection.fetchval(SQL["sign_of_life"])
        except (DatabaseUnavailable, asyncpg.PostgresError) as error:
            extra = {"action": "replica_away"}
            log.warning("no replica can be read: %s", _words(error), extra=extra)
        try:
            yield database
        finally:
            await database.close()


def _pool(
    hosts: Hosts,
    settings: DatabaseSettings,
    prepare: Callable[[asyncpg.Connection], Awaitable[None]],
    timeout_s: float,
) -> asyncpg.Pool:
    return asyncpg.create_pool(
        connect=hosts.connect,
        min_size=0,
        max_size=settings.pool_size,
        init=prepare,
        reset=_nothing_to_reset,
        timeout=timeout_s,
        command_timeout=settings.statement_timeout_s,
        server_settings=_SESSION
        | {"statement_timeout": str(int(settings.statement_timeout_s * 1000))},
    )


@asynccontextmanager
async def _open(pool: asyncpg.Pool) -> AsyncIterator[None]:
    await pool
    try:
        yield
    finally:
        await _close(pool)


async def migrate_patiently(dsn: str) -> list[str]:
    """`migrate`, once Postgres is there. Raises SetupError for what waiting cannot mend."""

    async def attempt() -> list[str]:
        try:
            return await migrate(dsn)
        except SetupError as error:
            if _may_come(error.__cause__):
                raise DatabaseUnavailable(error.message) from error
            raise

    return await patiently(attempt)


async def patiently(work: Callable[[], Awaitable[T]]) -> T:
    """Do `work`, again and again while the database is away, so it must be safe to repeat."""
    pause_s = _FIRST_PAUSE_S
    while True:
        try:
            return await work()
        except DatabaseUnavailable as error:
            _say_waiting(error)
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)


async def _require_usable(pool: asyncpg.Pool, settings: DatabaseSettings, *, patient: bool) -> None:
    async def look() -> list[str]:
        try:
            async with pool.acquire(timeout=settings.acquire_timeout_s) as connection:
                missing = await pending_migrations(connection)
                if not missing:
                    (await examine_wall(connection)).require()
                return missing
        except _WRONG as error:
            if patient and _may_come(error):
                raise DatabaseUnavailable(_words(error)) from error
            raise SetupError(
                f"cannot use the database ({_words(error)}). Check "
                "FACEPASS_DATABASE__DSN, that Postgres runs, and that `facepass-server migrate` "
                "was run; `facepass-server doctor` looks closer"
            ) from error

    missing = await patiently(look)
    if missing:
        names = ", ".join(missing)
        raise SetupError(f"the database lacks {names}: run `facepass-server migrate`")


def _may_come(error: BaseException | None) -> bool:
    """Whether Postgres is away, and not something wrong with how we call on it."""
    return isinstance(error, _NOT_THERE_YET) and not isinstance(error, ssl.SSLError)


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _say_waiting(error: DatabaseUnavailable) -> None:
    extra = {"action": "waiting_for_database"}
    log.warning("waiting for the database (%s)", error.message, extra=extra)


async def _nothing_to_reset(_: asyncpg.Connection) -> None:
    """Settings are made for one transaction only, and which event a session sees is said each time,
    so there is no need to ask Postgres to reset them."""


async def _close(pool: asyncpg.Pool) -> None:
    """Close every connection, with or without Postgres' goodbye."""
    try:
        async with asyncio.timeout(_CLOSE_S):
            await pool.close()
    except TimeoutError:
        pool.terminate()
