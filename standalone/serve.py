"""The commands that serve: everything on one machine, or one of the servers."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path

import indexer.app
import searcher.app
from common.config import CommonSettings, DatabaseSettings
from common.db.migrate import migrate
from common.db.opening import migrate_patiently, open_database
from common.errors import SetupError
from common.metrics import Metrics
from common.rpc.protection import described, require_protected
from common.rpc.server import Listening
from common.vision.workers.pool import WorkerPool
from common.vision.workers.self_tune import usable_cores
from indexer.config import IndexerSettings
from searcher.config import SearcherSettings
from standalone.backup.archiving import Archiving, archiving
from standalone.backup.keeping import Keeping
from standalone.config import Overrides, WrongSetting, read_settings
from standalone.data_dir import DataDir
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
    archive = archiving(settings)
    if archive is not None and settings.database.dsn.get_secret_value():
        raise WrongSetting(
            "FACEPASS_BACKUP__FOLDER is for the embedded Postgres, and FACEPASS_DATABASE__DSN "
            "names another: unset one; docs/backup.md says how to back that one up"
        )
    for name, server in (("INDEXER", settings.indexer), ("SEARCHER", search_settings.searcher)):
        if server.processes > 1:
            raise SetupError(
                f"FACEPASS_{name}__PROCESSES: the standalone is one process; run "
                "`facepass-server indexer` and `facepass-server searcher`"
            )
    async with AsyncExitStack() as stack:
        index = await stack.enter_async_context(indexer.app.listening(settings))
        search = await stack.enter_async_context(searcher.app.listening(search_settings))
        postgres = None
        if not settings.database.dsn.get_secret_value():
            postgres = await stack.enter_async_context(_embedded(data_dir, archive))
            made = _embedded_settings(postgres, archive, settings, overrides)
            overrides = {**overrides, **made}
            settings = read_settings(IndexerSettings, overrides)
            search_settings = read_settings(SearcherSettings, overrides)
        await run_migrations(settings.database, patient=postgres is None)
        for each in (index, search):
            each.metrics.database_available.set(1)
        pool = await stack.enter_async_context(
            _workers(settings, selfie_workers=settings.engine.selfie_workers)
        )
        await stack.enter_async_context(indexer.app.serving(settings, pool, index))
        await stack.enter_async_context(
            searcher.app.serving(search_settings, pool, search, shares_vision=True)
        )
        # Both at once: each may take as long as its grace.
        stack.push_async_callback(_stop_all, index, search)
        where = f"{postgres.data_dir} (embedded Postgres)" if postgres else _GIVEN
        addresses = {
            "indexer": (settings.indexer, index.running),
            "searcher": (search_settings.searcher, search.running),
        }
        entrance = described(settings.tls, settings.auth)
        stack.enter_context(_ready(Summary.of(where, entrance, pool.pack, addresses), ready_file))
        if postgres is None:
            await asyncio.Event().wait()
        else:
            await _look_after(postgres, archive, index.metrics)


async def _look_after(
    postgres: EmbeddedPostgres, archive: Archiving | None, metrics: Metrics
) -> None:
    """Keep it running and backed up; never returns."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(keep_running(postgres))
        if archive is not None:
            data = DataDir.at(postgres.data_dir)
            tasks.create_task(Keeping(postgres, data, archive, metrics).keep())


def _embedded_settings(
    postgres: EmbeddedPostgres,
    archive: Archiving | None,
    settings: CommonSettings,
    overrides: Overrides,
) -> Overrides:
    """Where the embedded Postgres is, and its data."""
    journal = {"erasure": {"journal": str(archive.folder.journal.path)}} if archive else {}
    return {
        **journal,
        "database": {"dsn": postgres.server_dsn, "migration_dsn": postgres.owner_dsn},
        "storage": {"folder": str(postgres.data_dir), **overrides.get("storage", {})},
        "templates": {"key_file": settings.templates.key_file or _own_keys(postgres)},
    }


def _own_keys(postgres: EmbeddedPostgres) -> str:
    """The file of the templates' keys in the data folder, made where there is none."""
    data = DataDir.at(postgres.data_dir)
    data.make_template_key()
    return str(data.template_keys)


async def _stop_all(*servers: Listening) -> None:
    await asyncio.gather(*(server.stop() for server in servers))


async def serve_indexer(overrides: Overrides, ready_file: Path | None = None) -> None:
    """Serve the Indexer alone until told to stop. Raises SetupError, PackUnavailable."""
    settings = read_settings(IndexerSettings, overrides)
    require_protected(settings.indexer.listen, settings.tls, settings.auth)
    require_dsn(settings.database)
    async with indexer.app.listening(settings) as server:
        await _until_usable(settings.database, server.metrics)
        workers = _workers(settings, processes=settings.indexer.processes)
        async with workers as pool, indexer.app.serving(settings, pool, server):
            addresses = {"indexer": (settings.indexer, server.running)}
            entrance = described(settings.tls, settings.auth)
            with _ready(Summary.of(_GIVEN, entrance, pool.pack, addresses), ready_file):
                await asyncio.Event().wait()


async def serve_searcher(overrides: Overrides, ready_file: Path | None = None) -> None:
    """Serve the Searcher alone until told to stop. Raises SetupError, PackUnavailable."""
    settings = read_settings(SearcherSettings, overrides)
    require_protected(settings.searcher.listen, settings.tls, settings.auth)
    require_dsn(settings.database)
    async with searcher.app.listening(settings) as server:
        await _until_usable(settings.database, server.metrics)
        workers = _workers(settings, processes=settings.searcher.processes)
        async with workers as pool, searcher.app.serving(settings, pool, server):
            addresses = {"searcher": (settings.searcher, server.running)}
            entrance = described(settings.tls, settings.auth)
            with _ready(Summary.of(_GIVEN, entrance, pool.pack, addresses), ready_file):
                await asyncio.Event().wait()


@contextmanager
def _ready(summary: Summary, ready_file: Path | None) -> Iterator[None]:
    """Say that everything is up for as long as the context lasts.

    What a server is made of is there by then and stays: Python's collector passes it over from here
    on. Looking through all of it took tens of milliseconds, in which no call was served.
    """
    gc.collect()
    gc.freeze()
    gc.collect()
    with announce(summary, ready_file):
        yield


async def run_migrations(settings: DatabaseSettings, *, patient: bool = False) -> list[str]:
    """Bring the database up to date as the role that owns it; returns what was applied.

    patient: wait for a Postgres that is away.
    """
    require_dsn(settings)
    dsn = settings.migration_dsn.get_secret_value() or settings.dsn.get_secret_value()
    applied = await (migrate_patiently(dsn) if patient else migrate(dsn))
    for name in applied:
        log.info("migration applied", extra={"action": "migration_applied", "migration": name})
    return applied


async def _until_usable(settings: DatabaseSettings, metrics: Metrics) -> None:
    """Wait for the database, before anything costly is begun. Raises SetupError where it is there
    but cannot be used."""
    async with open_database(settings, patient=True):
        metrics.database_available.set(1)


def require_dsn(settings: DatabaseSettings) -> None:
    """Raise SetupError where no database is named."""
    if not settings.dsn.get_secret_value() and not settings.migration_dsn.get_secret_value():
        raise SetupError(
            "FACEPASS_DATABASE__DSN is not set; set it to a Postgres >= 16 with pgvector >= 0.8, "
            "or run `facepass-server standalone`, which brings its own"
        )


@asynccontextmanager
async def _embedded(data_dir: Path, archive: Archiving | None) -> AsyncIterator[EmbeddedPostgres]:
    postgres = EmbeddedPostgres(data_dir, archive)
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
    settings: CommonSettings, *, selfie_workers: int = 0, processes: int = 1
) -> AsyncIterator[WorkerPool]:
    """processes: how many there are like this one, among which the cores are shared out."""
    cores = max(usable_cores() // processes, 1)
    pool = WorkerPool(settings.engine, settings.limits, selfie_workers=selfie_workers, cores=cores)
    try:
        await pool.start()
        yield pool
    finally:
        await pool.close()
