"""Migrations on a real database."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest
from pydantic import SecretStr

from common.config import DatabaseSettings
from common.db.migrate import migrate, migrations_dir, pending_migrations, read_migrations
from common.db.opening import open_database
from common.errors import SetupError
from standalone.embedded import EmbeddedPostgres, Role


@pytest.fixture
def empty(postgres: EmbeddedPostgres) -> Iterator[str]:
    """DSN of an empty database."""
    name = f"m_{uuid4().hex[:12]}"
    postgres.create_database(name)
    yield postgres.dsn(Role.OWNER, name)
    postgres.drop_database(name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "0001_one.sql").write_text("CREATE TABLE one (a int);")
    (tmp_path / "0002_two.sql").write_text("CREATE TABLE two (a int);")
    return tmp_path


async def test_from_zero_and_again(empty: str) -> None:
    names = [m.name for m in read_migrations(migrations_dir())]
    assert await migrate(empty) == names
    assert await migrate(empty) == []


async def test_two_runners_at_once_run_each_file_once(empty: str, folder: Path) -> None:
    ran = await asyncio.gather(*(migrate(empty, folder) for _ in range(4)))
    assert sorted(name for names in ran for name in names) == ["0001_one.sql", "0002_two.sql"]


async def test_an_edited_released_file_fails(empty: str, folder: Path) -> None:
    await migrate(empty, folder)
    (folder / "0001_one.sql").write_text("CREATE TABLE one (a bigint);")
    with pytest.raises(SetupError, match=r"0001_one\.sql was edited"):
        await migrate(empty, folder)


async def test_a_file_that_fails_leaves_nothing_of_itself(empty: str, folder: Path) -> None:
    bad = folder / "0003_bad.sql"
    bad.write_text("CREATE TABLE three (a int); SELECT 1/0;")
    with pytest.raises(SetupError, match=r"0003_bad\.sql failed: division by zero"):
        await migrate(empty, folder)
    connection = await asyncpg.connect(empty)
    tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    await connection.close()
    assert {row["tablename"] for row in tables} == {"migration", "one", "two"}
    bad.write_text("CREATE TABLE three (a int);")
    assert await migrate(empty, folder) == ["0003_bad.sql"]


async def test_a_newer_database_is_refused(empty: str, folder: Path) -> None:
    await migrate(empty, folder)
    (folder / "0002_two.sql").unlink()
    with pytest.raises(SetupError, match=r"0002_two\.sql, which this release does not know"):
        await migrate(empty, folder)


@pytest.mark.parametrize(
    ("later", "served"), [("0003_more.sql", True), ("0003_contract_less.sql", False)]
)
async def test_a_newer_database_is_served_until_something_is_taken_away(
    empty: str, folder: Path, later: str, served: bool
) -> None:
    (folder / later).write_text("CREATE TABLE three (a int);")
    await migrate(empty, folder)
    (folder / later).unlink()
    connection = await asyncpg.connect(empty)
    try:
        if served:
            assert await pending_migrations(connection, folder) == []
        else:
            with pytest.raises(SetupError, match=f"{later}, which this release does not know"):
                await pending_migrations(connection, folder)
    finally:
        await connection.close()


@pytest.mark.parametrize("name", ["0004_gap.sql", "3_short.sql", "0003_Caps.sql"])
def test_files_are_named_and_numbered_without_gaps(folder: Path, name: str) -> None:
    (folder / name).write_text("")
    with pytest.raises(SetupError):
        read_migrations(folder)


async def test_servers_refuse_a_database_that_lacks_migrations(empty: str) -> None:
    settings = DatabaseSettings(dsn=SecretStr(empty))
    with pytest.raises(SetupError, match="facepass-server migrate"):
        async with open_database(settings):
            pytest.fail("the database was opened")


async def test_waiting_does_not_mend_what_is_set_up_wrongly(empty: str) -> None:
    """A server waits for a database that is away, not for another password."""
    parts = urlsplit(empty)
    wrong = parts._replace(netloc=f"{parts.username}:wrong@").geturl()
    other = parts._replace(path="/nowhere").geturl()
    for dsn, said in ((wrong, "InvalidPassword"), (other, "InvalidCatalogName"), (empty, "lacks")):
        with pytest.raises(SetupError, match=said):
            async with (
                asyncio.timeout(20),
                open_database(DatabaseSettings(dsn=SecretStr(dsn)), patient=True),
            ):
                pytest.fail("the database was opened")


async def test_no_database_is_a_clear_error() -> None:
    settings = DatabaseSettings(dsn=SecretStr("postgresql://x:y@127.0.0.1:1/none"))
    with pytest.raises(SetupError, match="FACEPASS_DATABASE__DSN"):
        async with open_database(settings):
            pytest.fail("the database was opened")
    with pytest.raises(SetupError, match="cannot connect"):
        await migrate(settings.dsn.get_secret_value())
