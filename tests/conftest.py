"""Real parts for tests: one embedded Postgres and one pool of workers a session, a database and
servers a test."""

import standalone  # noqa: F401 - before gRPC, for which it sets the environment

# isort: split

import logging
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode, urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import grpc
import pytest
from facepass.v1.events_pb2_grpc import EventsStub
from facepass.v1.indexer_pb2_grpc import IndexerStub
from facepass.v1.searcher_pb2_grpc import SearcherStub
from fsync import set_fsync
from given_citus import GivenCitus
from given_postgres import GivenPostgres
from pydantic import SecretStr

import indexer.app
import searcher.app
from common.config import DatabaseSettings, EngineSettings, ImageLimits, TemplateSettings
from common.db.migrate import migrate
from common.rpc.server import RunningServer
from common.vision.types import Vision
from common.vision.workers.pool import WorkerPool
from indexer.config import IndexerServerSettings, IndexerSettings
from searcher.config import SearcherServerSettings, SearcherSettings
from standalone.embedded import EmbeddedPostgres, Role

ROOT = Path(__file__).resolve().parents[1]
TEMPLATE = "facepass_template"
LONG = os.environ.get("FACEPASS_TEST_PROFILE") == "long"
GIVEN = os.environ.get("FACEPASS_TEST_DSN", "")
TEMPLATES = TemplateSettings(key_file=str(ROOT / "tests/support/template_keys"))


def pytest_configure() -> None:
    """The environment of whoever runs the tests configures nothing; FACEPASS_TEST_* say where
    material is."""
    for name in [n for n in os.environ if n.startswith("FACEPASS_")]:
        if not name.startswith("FACEPASS_TEST_"):
            del os.environ[name]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take long begin first."""
    items.sort(key=_takes_s, reverse=True)


def _takes_s(item: pytest.Item) -> float:
    mark = item.get_closest_marker("takes")
    return float(mark.args[0]) if mark else 0.0


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """A command that a test runs here sends all logs to the standard error of that moment."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(scope="session")
def packs_dir() -> Path:
    """Folder of real model packs; tests that need one are skipped where it is absent."""
    return _material("FACEPASS_TEST_PACKS", "models")


@pytest.fixture(scope="session")
def photos_dir() -> Path:
    """Folder of labelled real photos; tests that need them are skipped where it is absent."""
    return _material("FACEPASS_TEST_PHOTOS", "photos")


def _material(variable: str, name: str) -> Path:
    folder = Path(os.environ.get(variable) or ROOT.parent / "shared" / name)
    if not folder.is_dir():
        pytest.skip(f"needs {variable}: {folder} is absent")
    return folder


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """One embedded Postgres for the session, or the one of FACEPASS_TEST_DSN, which is a
    coordinator of Citus where FACEPASS_TEST_CITUS names its workers."""
    if GIVEN:
        workers = os.environ.get("FACEPASS_TEST_CITUS", "")
        chosen = GivenCitus(GIVEN, workers.split(",")) if workers else GivenPostgres(GIVEN)
        with chosen as server:
            yield server
        return
    folder = Path(tempfile.mkdtemp(prefix="facepass-session-"))
    folder.chmod(0o711)
    try:
        with EmbeddedPostgres(folder / "data") as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
async def superuser(postgres: EmbeddedPostgres) -> AsyncIterator[asyncpg.Connection]:
    """Who makes and drops the tests' databases."""
    connection = await asyncpg.connect(postgres.superuser_dsn)
    if not (LONG or GIVEN):
        # Nothing here cuts the power, and a database comes and goes with each test.
        await set_fsync(connection, "off")
    yield connection
    await connection.close()


@pytest.fixture(scope="session")
async def template(postgres: EmbeddedPostgres, superuser: asyncpg.Connection) -> str:
    """Name of a migrated database that tests clone."""
    postgres.create_database(TEMPLATE)
    await migrate(postgres.dsn(Role.OWNER, TEMPLATE))
    return TEMPLATE


@dataclass(frozen=True, slots=True)
class TestDatabase:
    """A database of the test's own, as its owner and as the servers' role."""

    __test__ = False
    name: str
    owner_dsn: str
    server_dsn: str
    replica_dsn: str = ""

    @property
    def settings(self) -> DatabaseSettings:
        return DatabaseSettings(
            dsn=SecretStr(self.server_dsn), replica_dsn=SecretStr(self.replica_dsn), pool_size=5
        )


@asynccontextmanager
async def cloned(
    postgres: EmbeddedPostgres, template: str, superuser: asyncpg.Connection
) -> AsyncIterator[TestDatabase]:
    """A clone of the migrated database for as long as the context lasts."""
    name = f"t_{uuid4().hex[:12]}"
    if isinstance(postgres, GivenCitus):
        postgres.create_database(name, template)
    else:
        owner_role = Role.OWNER.value
        await superuser.execute(f"CREATE DATABASE {name} OWNER {owner_role} TEMPLATE {template}")
    owner, server = postgres.dsn(Role.OWNER, name), postgres.dsn(Role.SERVER, name)
    yield TestDatabase(name, owner, server, _replica(server))
    if isinstance(postgres, GivenCitus):
        postgres.drop_database(name)
    else:
        await superuser.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture
async def database(
    postgres: EmbeddedPostgres, template: str, superuser: asyncpg.Connection
) -> AsyncIterator[TestDatabase]:
    """A private clone of the migrated database: cheap, and no test sees another's rows."""
    async with cloned(postgres, template, superuser) as made:
        yield made


def _replica(server_dsn: str) -> str:
    """The same database on the standby of FACEPASS_TEST_REPLICA (`host:port`, or the folder of its
    socket), for Searchers; empty without one."""
    where = os.environ.get("FACEPASS_TEST_REPLICA")
    if not where:
        return ""
    parts = urlsplit(server_dsn)
    host, query = ("", urlencode({"host": where})) if where.startswith("/") else (where, "")
    login = parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{login}@{host}", query=query))


@pytest.fixture(scope="session")
async def vision() -> AsyncIterator[WorkerPool]:
    """One pool of workers with the fake engine for the session."""
    pool = WorkerPool(EngineSettings(kind="fake", workers=2), ImageLimits())
    await pool.start()
    yield pool
    await pool.close()


class Servers:
    """An Indexer and a Searcher on free ports, with stubs."""

    def __init__(self, indexer: RunningServer, searcher: RunningServer) -> None:
        self.indexer_server = indexer
        self.searcher_server = searcher
        self.indexer_address = f"127.0.0.1:{indexer.port}"
        self.searcher_address = f"127.0.0.1:{searcher.port}"
        options = [("grpc.max_receive_message_length", 64 * 1024 * 1024)]
        self.indexer_channel = grpc.aio.insecure_channel(self.indexer_address, options=options)
        self.searcher_channel = grpc.aio.insecure_channel(self.searcher_address, options=options)
        self.events = EventsStub(self.indexer_channel)
        self.indexer = IndexerStub(self.indexer_channel)
        self.searcher = SearcherStub(self.searcher_channel)

    async def close(self) -> None:
        await self.indexer_channel.close()
        await self.searcher_channel.close()


@asynccontextmanager
async def serve(
    database: DatabaseSettings,
    vision: Vision,
    *,
    indexer_settings: IndexerSettings | None = None,
    searcher_settings: SearcherSettings | None = None,
    templates: TemplateSettings = TEMPLATES,
) -> AsyncIterator[Servers]:
    """Real servers on real sockets, on `database` and any engine, with keys to rotate templates
    by."""
    index = indexer_settings or IndexerSettings(
        indexer=IndexerServerSettings(listen="127.0.0.1:0", metrics_listen="127.0.0.1:0")
    )
    search = searcher_settings or SearcherSettings(
        searcher=SearcherServerSettings(listen="127.0.0.1:0", metrics_listen="127.0.0.1:0")
    )
    notice, both = {"shutdown_notice_s": 0.0}, {"database": database, "templates": templates}
    index = index.model_copy(update={**both, "indexer": index.indexer.model_copy(update=notice)})
    search = search.model_copy(
        update={**both, "searcher": search.searcher.model_copy(update=notice)}
    )
    async with AsyncExitStack() as stack:
        index_server = await stack.enter_async_context(indexer.app.running(index, vision))
        search_server = await stack.enter_async_context(
            searcher.app.running(search, vision, shares_vision=True)
        )
        servers = Servers(index_server, search_server)
        stack.push_async_callback(servers.close)
        yield servers


@pytest.fixture
async def servers(database: TestDatabase, vision: WorkerPool) -> AsyncIterator[Servers]:
    """Both servers on the test's own database with the fake engine."""
    async with serve(database.settings, vision) as running:
        yield running


@pytest.fixture(scope="module")
async def shared_servers(
    postgres: EmbeddedPostgres, template: str, superuser: asyncpg.Connection, vision: WorkerPool
) -> AsyncIterator[Servers]:
    """Both servers on one database for all tests of a file."""
    async with (
        cloned(postgres, template, superuser) as database,
        serve(database.settings, vision) as running,
    ):
        yield running


@pytest.fixture(scope="session")
def templates() -> TemplateSettings:
    """Where the keys of the tests' servers are, for others on the same database."""
    return TEMPLATES


@pytest.fixture
def serving() -> object:
    """`serve`, for tests that choose settings or the engine."""
    return serve
