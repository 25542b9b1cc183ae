"""The commands that serve: everything on one machine, or one of the servers."""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import indexer.app
import searcher.app
from common.config import CommonSettings, DatabaseSettings
from common.db.migrate import migrate
from common.db.pool import open_database
from common.errors import SetupError
from common.rpc.protection import described, require_protected
from common.vision.workers import WorkerPool
from indexer.config import IndexerSettings
from searcher.config import SearcherSettings
from standalone.config import Overrides, read_settings
from standalone.embedded import EmbeddedPostgres
from standalone.summary import Summary, announce
from standalone.supervision import keep_running

log = logging.getLogger(__name__)
_GIVEN = "the Postgres of FACEPASS_DATABASE__DSN"


async def serve_standalone(
    data_dir: Path, overrides: Overrides, ready_file: Path | None = None
) -> None:
    """Serve both servers, on an embedded Postgres where the settings name none, until told to stop.

    Raises SetupError, PackUnavailable.
    """
    settings = read_settings(IndexerSettings, overrides)
    search_settings = read_settings(SearcherSettings, overrides)
    for listen in (settings.indexer.listen, search_settings.searcher.listen):
        require_protected(listen, settings.tls, settings.auth)
    async with AsyncExitStack() as stack:
        postgres = None
        if not settings.database.dsn.get_secret_value():
            postgres = await stack.enter_async_context(_embedded(data_dir))
            dsns = {"dsn": postgres.server_dsn, "migration_dsn": postgres.owner_dsn}
            overrides = {**overrides, "database": dsns}
            settings = read_settings(IndexerSettings, overrides)
        await run_migrations(settings.database)
        pool = await stack.enter_async_context(
            _workers(settings, selfie_workers=settings.engine.selfie_workers)
        )
        index = await stack.enter_async_context(indexer.app.running(settings, pool))
        search_settings = read_settings(SearcherSettings, overrides)
        search = await stack.enter_async_context(
            searcher.app.running(search_settings, pool, shares_vision=True)
        )
        where = f"{postgres.data_dir} (embedded Postgres)" if postgres else _GIVEN
        addresses = {
            "indexer": (settings.indexer, index),
            "searcher": (search_settings.searcher, search),
        }
        entrance = described(settings.tls, settings.auth)
        stack.enter_context(announce(Summary.of(where, entrance, pool.pack, addresses), ready_file))
        await (keep_running(postgres) if postgres else asyncio.Event().wait())


async def serve_indexer(overrides: Overrides, ready_file: Path | None = None) -> None:
    """Serve the Indexer alone until told to stop. Raises SetupError, PackUnavailable."""
    settings = read_settings(IndexerSettings, overrides)
    require_protected(settings.indexer.listen, settings.tls, settings.auth)
    await require_migrated(settings.database)
    async with (
        _workers(settings) as pool,
        indexer.app.running(settings, pool) as server,
    ):
        addresses = {"indexer": (settings.indexer, server)}
        entrance = described(settings.tls, settings.auth)
        with announce(Summary.of(_GIVEN, entrance, pool.pack, addresses), ready_file):
            await asyncio.Event().wait()


async def serve_searcher(overrides: Overrides, ready_file: Path | None = None) -> None:
    """Serve the Searcher alone until told to stop. Raises SetupError, PackUnavailable."""
    settings = read_settings(SearcherSettings, overrides)
    require_protected(settings.searcher.listen, settings.tls, settings.auth)
    await require_migrated(settings.database)
    async with (
        _workers(settings) as pool,
        searcher.app.running(settings, pool) as server,
    ):
        addresses = {"searcher": (settings.searcher, server)}
        entrance = described(settings.tls, settings.auth)
        with announce(Summary.of(_GIVEN, entrance, pool.pack, addresses), ready_file):
            await asyncio.Event().wait()


async def run_migrations(settings: DatabaseSettings) -> list[str]:
    """Bring the database up to date as the role that owns it; returns what was applied."""
    require_dsn(settings)
    dsn = settings.migration_dsn.get_secret_value() or settings.dsn.get_secret_value()
    applied = await migrate(dsn)
    for name in applied:
        log.info("migration applied", extra={"action": "migration_applied", "migration": name})
    return applied


async def require_migrated(settings: DatabaseSettings) -> None:
    """Raise SetupError where the database is not up to date."""
    require_dsn(settings)
    async with open_database(settings):
        pass


def require_dsn(settings: DatabaseSettings) -> None:
    """Raise SetupError where no database is named."""
    if not settings.dsn.get_secret_value() and not settings.migration_dsn.get_secret_value():
        raise SetupError(
            "FACEPASS_DATABASE__DSN is not set; set it to a Postgres >= 16 with pgvector >= 0.8, "
            "or run `facepass-server standalone`, which brings its own"
        )


async def until_stopped(serving: Coroutine[None, None, None]) -> bool:
    """Serve until SIGTERM, SIGINT or SIGHUP; another one cuts short what is being waited for.

    Returns whether it ended without such haste.
    """
    task = asyncio.ensure_future(serving)
    signals: list[signal.Signals] = []

    def stop(number: signal.Signals) -> None:
        log.info("stopping", extra={"action": "stopping", "signal": number.name})
        signals.append(number)
        task.cancel()

    # A closed terminal stops it too, unless nohup said otherwise.
    hangup = [] if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else [signal.SIGHUP]
    for number in (signal.SIGTERM, signal.SIGINT, *hangup):
        asyncio.get_running_loop().add_signal_handler(number, stop, number)
    try:
        await task
    except asyncio.CancelledError:
        if not signals:
            raise
    return len(signals) < 2


@asynccontextmanager
async def _embedded(data_dir: Path) -> AsyncIterator[EmbeddedPostgres]:
    postgres = EmbeddedPostgres(data_dir)
    starting = asyncio.ensure_future(asyncio.to_thread(postgres.start))
    try:
        await asyncio.shield(starting)
        yield postgres
    finally:
        # A thread cannot be cancelled: told to stop meanwhile, let it end, then stop what it began.
        while not starting.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([starting])
        if starting.exception() is None:
            await asyncio.to_thread(postgres.stop)


@asynccontextmanager
async def _workers(
    settings: CommonSettings, *, selfie_workers: int = 0
) -> AsyncIterator[WorkerPool]:
    pool = WorkerPool(settings.engine, settings.limits, selfie_workers=selfie_workers)
    try:
        await pool.start()
        yield pool
    finally:
        await pool.close()
