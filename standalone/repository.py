"""What a database says about itself."""

from dataclasses import dataclass

import asyncpg

from common.db.hosts import Hosts
from common.db.migrate import pending_migrations
from common.db.sql import load_queries
from common.db.wall import Wall, examine_wall
from common.errors import SetupError
from standalone.tuning import DURABLE

_CONNECT_TIMEOUT_S = 10.0


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
    unsafe_settings: tuple[str, ...]
    """Settings by which a crash would lose what was acknowledged."""


async def examine_database(dsn: str, *, replica: bool = False) -> DatabaseFacts:
    """Look at a database, or a replica of it, changing nothing. Raises SetupError where it cannot
    be reached."""
    try:
        hosts = Hosts(dsn, replicas=replica)
        connection = await hosts.connect(timeout=_CONNECT_TIMEOUT_S)
        try:
            return await _examine(connection)
        finally:
            await connection.close()
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        said = str(error) or type(error).__name__
        raise SetupError(" ".join(said.split())) from error


async def _examine(connection: asyncpg.Connection) -> DatabaseFacts:
    queries = load_queries("standalone")
    server = await connection.fetchrow(queries["server"])
    out_of_reach = await connection.fetch(queries["tables_out_of_reach"])
    settings = await connection.fetch(queries["settings"], list(DURABLE))
    missing, problem = await _migrations(connection)
    return DatabaseFacts(
        **dict(server),
        wall=await examine_wall(connection) if not missing and not problem else None,
        missing_migrations=missing,
        migration_problem=problem,
        tables_out_of_reach=tuple(row["relname"] for row in out_of_reach),
        unsafe_settings=tuple(
            f"{row['name']} = {row['setting']}" for row in settings if row["setting"] == "off"
        ),
    )


async def _migrations(connection: asyncpg.Connection) -> tuple[tuple[str, ...], str]:
    try:
        return tuple(await pending_migrations(connection)), ""
    except SetupError as error:
        return (), error.message
    except asyncpg.InsufficientPrivilegeError:
        return (), "this role may not read the table of migrations"
