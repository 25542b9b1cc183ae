"""What a database says about itself."""

from collections.abc import Set
from dataclasses import dataclass

import asyncpg

from common.db.hosts import Hosts
from common.db.log_archive import LogArchive, examine_archive
from common.db.migrate import pending_migrations
from common.db.sql import load_queries
from common.db.wall import Wall, examine_wall
from common.errors import SetupError
from standalone.tuning import DURABLE

_CONNECT_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class LockedEvents:
    """Events whose templates need one key: how many, and the names of the first few."""

    key_id: str
    count: int
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """The state of one database, as one role sees it."""

    version: str
    version_num: int
    """Major version times 10,000 and minor version."""
    vector: str | None
    """Version of pgvector in the database."""
    vector_available: str | None
    """Version of pgvector that could be created."""
    role: str
    wall: Wall | None
    """What the role could see of all events; None where the tables are not there yet."""
    missing_migrations: tuple[str, ...]
    migration_problem: str
    """Why the migrations that were run do not fit this release; empty where they do."""
    tables_out_of_reach: tuple[str, ...]
    """Tables that this role cannot both read and write."""
    locked_events: tuple[LockedEvents, ...]
    """Those whose templates need keys that were not said to be there."""
    unsafe_settings: tuple[str, ...]
    """Settings by which a crash would lose what was acknowledged."""
    archive: LogArchive | None
    """None of a replica."""


async def examine_database(
    dsn: str, template_keys: Set[str] = frozenset(), *, replica: bool = False
) -> DatabaseFacts:
    """Look at a database, or a replica of it, changing nothing. Raises SetupError where it cannot
    be reached.

    template_keys: ids of the keys that there are.
    """
    try:
        hosts = Hosts(dsn, replicas=replica)
        connection = await hosts.connect(timeout=_CONNECT_TIMEOUT_S)
        try:
            archive = None if replica else await examine_archive(connection)
            return await _examine(connection, template_keys, archive)
        finally:
            await connection.close()
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        said = str(error) or type(error).__name__
        raise SetupError(" ".join(said.split())) from error


async def _examine(
    connection: asyncpg.Connection, template_keys: Set[str], archive: LogArchive | None
) -> DatabaseFacts:
    queries = load_queries("standalone")
    server = await connection.fetchrow(queries["server"])
    out_of_reach = await connection.fetch(queries["tables_out_of_reach"])
    settings = await connection.fetch(queries["settings"], list(DURABLE))
    missing, problem = await _migrations(connection)
    current = not missing and not problem
    return DatabaseFacts(
        **dict(server),
        wall=await examine_wall(connection) if current else None,
        missing_migrations=missing,
        migration_problem=problem,
        locked_events=await _locked_events(connection, template_keys) if current else (),
        archive=archive,
        tables_out_of_reach=tuple(row["relname"] for row in out_of_reach),
        unsafe_settings=tuple(
            f"{row['name']} = {row['setting']}" for row in settings if row["setting"] == "off"
        ),
    )


async def _locked_events(
    connection: asyncpg.Connection, template_keys: Set[str]
) -> tuple[LockedEvents, ...]:
    query = load_queries("common.db")["events_by_template_key"]
    try:
        rows = await connection.fetch(query, sorted(template_keys))
    except asyncpg.InsufficientPrivilegeError:
        return ()  # which is told of all tables
    return tuple(
        LockedEvents(row["template_key"], row["events"], tuple(row["names"])) for row in rows
    )


async def _migrations(connection: asyncpg.Connection) -> tuple[tuple[str, ...], str]:
    try:
        return tuple(await pending_migrations(connection)), ""
    except SetupError as error:
        return (), error.message
    except asyncpg.InsufficientPrivilegeError:
        return (), "this role may not read the table of migrations"
