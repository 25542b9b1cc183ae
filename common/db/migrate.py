"""Migrations: numbered plain SQL files, each run once, frozen once released.

A row of `migration` keeps each file's name and SHA-256, so that an edited released file is noticed.
Files add what the next release needs; what the last one needs is taken away a release later, by a
file called `NNNN_contract_words.sql`. So servers may serve a database that is newer than they are,
up to such a file.
An advisory lock keeps two runners from working at once.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from common.db.hosts import connect
from common.errors import SetupError

_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
_TAKES_AWAY = re.compile(r"\d{4}_contract_")
_LOCK = 0x0FACE9A55
_CONNECT_S = 15.0
_LOCK_S = 300.0
"""Longest wait for another runner, whose migrations may rewrite tables."""
_CREATE = """
CREATE TABLE IF NOT EXISTS migration (
    number     integer PRIMARY KEY,
    name       text NOT NULL,
    sha256     text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file."""

    number: int
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations_dir() -> Path:
    """Where the files are: inside an installed wheel, or in the checkout."""
    packed = Path(__file__).parents[1] / "_migrations"
    return packed if packed.is_dir() else Path(__file__).parents[2] / "migrations"


def read_migrations(folder: Path) -> list[Migration]:
    """Read all files in order. Raises SetupError when a name is wrong or a number is missing."""
    found = []
    for path in sorted(folder.glob("*.sql")):
        match = _NAME.fullmatch(path.name)
        if match is None:
            raise SetupError(f"migration {path.name}: names are NNNN_words.sql")
        found.append(Migration(int(match[1]), path.name, path.read_text(encoding="utf-8")))
    if [m.number for m in found] != list(range(1, len(found) + 1)):
        raise SetupError(f"migrations in {folder} are not numbered 1, 2, 3, ... without a gap")
    return found


async def migrate(dsn: str, folder: Path | None = None) -> list[str]:
    """Bring a database up to date; returns the names of the files that were run.

    Each file runs in a transaction of its own. Raises SetupError when the database is newer than
    this release, when a file that was run has been edited since, or when one fails.
    """
    migrations = read_migrations(folder or migrations_dir())
    try:
        connection = await connect(dsn, timeout=_CONNECT_S)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        raise SetupError(f"cannot connect to migrate: {type(error).__name__}: {error}") from error
    try:
        try:
            await connection.execute("SELECT pg_advisory_lock($1)", _LOCK, timeout=_LOCK_S)
        except TimeoutError as error:
            raise SetupError("another `facepass-server migrate` does not end") from error
        return await _run_missing(connection, migrations)
    finally:
        await _close(connection)


async def pending_migrations(
    connection: asyncpg.Connection, folder: Path | None = None
) -> list[str]:
    """Names of the files that this database still lacks. Raises SetupError when it is too new to
    be served by this release, and for edited files."""
    migrations = read_migrations(folder or migrations_dir())
    applied = await _applied(connection)
    later = {n: row for n, row in applied.items() if n > len(migrations)}
    complete = len(applied) - len(later) == len(migrations)
    if complete and not any(_TAKES_AWAY.match(name) for name, _ in later.values()):
        applied = {n: row for n, row in applied.items() if n not in later}
    _check(applied, migrations)
    return [m.name for m in migrations if m.number not in applied]


async def _close(connection: asyncpg.Connection) -> None:
    try:
        await connection.close(timeout=_CONNECT_S)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        connection.terminate()


async def _run_missing(connection: asyncpg.Connection, migrations: list[Migration]) -> list[str]:
    await connection.execute(_CREATE)
    applied = await _applied(connection)
    _check(applied, migrations)
    missing = [m for m in migrations if m.number not in applied]
    for migration in missing:
        try:
            async with connection.transaction():
                await connection.execute(migration.sql)
                await connection.execute(
                    "INSERT INTO migration (number, name, sha256) VALUES ($1, $2, $3)",
                    migration.number,
                    migration.name,
                    migration.sha256,
                )
        except asyncpg.PostgresError as error:
            raise SetupError(f"migration {migration.name} failed: {error}") from error
    return [m.name for m in missing]


async def _applied(connection: asyncpg.Connection) -> dict[int, tuple[str, str]]:
    if await connection.fetchval("SELECT to_regclass('migration')") is None:
        return {}
    rows = await connection.fetch("SELECT number, name, sha256 FROM migration")
    return {row["number"]: (row["name"], row["sha256"]) for row in rows}


def _check(applied: dict[int, tuple[str, str]], migrations: list[Migration]) -> None:
    known = {m.number: m for m in migrations}
    for number, (name, sha256) in sorted(applied.items()):
        if number not in known:
            raise SetupError(f"the database has migration {name}, which this release does not know")
        if known[number].sha256 != sha256:
            raise SetupError(f"migration {name} was edited after it was run; restore the file")
