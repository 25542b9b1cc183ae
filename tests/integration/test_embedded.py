"""The embedded Postgres: whose it is, who may do what, and that nothing is lost or doubled."""

import asyncio
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest

from common.errors import SetupError
from standalone.embedded import EmbeddedPostgres, Role

AS_ROOT = os.geteuid() == 0
# Starts Postgres, says so, and waits to be killed.
CHILD = """
import sys, time
from pathlib import Path
from standalone.embedded import EmbeddedPostgres
EmbeddedPostgres(Path(sys.argv[1])).start()
print("started", flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A data folder. Under root, pytest's own folders are closed to Postgres' user."""
    made = Path(tempfile.mkdtemp(prefix="facepass-test-"))
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def shared(folder: Path) -> Iterator[EmbeddedPostgres]:
    postgres = EmbeddedPostgres(folder)
    yield postgres
    postgres.stop()


@pytest.fixture
def postgres(shared: EmbeddedPostgres) -> EmbeddedPostgres:
    """A started Postgres, whatever the last test did with it."""
    if not shared.running:
        shared.stop()
        shared.start()
    return shared


@pytest.fixture
def stopped(postgres: EmbeddedPostgres) -> EmbeddedPostgres:
    """One that has data and does not run."""
    postgres.stop()
    return postgres


async def query(dsn: str, *statements: str) -> object:
    """Run statements in one session; returns the last one's first value."""
    connection = await asyncpg.connect(dsn)
    try:
        for statement in statements[:-1]:
            await connection.execute(statement)
        return await connection.fetchval(statements[-1])
    finally:
        await connection.close()


def processes(folder: Path) -> list[psutil.Process]:
    """All Postgres processes of a data folder."""
    found = []
    for process in psutil.process_iter(["cwd", "status"]):
        if process.info["status"] != psutil.STATUS_ZOMBIE and process.info["cwd"] == str(
            (folder / "postgres").resolve()
        ):
            found.append(process)
    return found


def postmasters(folder: Path) -> list[int]:
    """The pids of those that are nobody's child among them."""
    every = processes(folder)
    pids = {process.pid for process in every}
    return [process.pid for process in every if process.ppid() not in pids]


def await_no_processes(folder: Path) -> None:
    deadline = time.monotonic() + 30
    while processes(folder) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert processes(folder) == []


def await_no_initdb(folder: Path) -> None:
    """Wait for the end of every initdb below a folder, and of the programs that it started."""
    deadline = time.monotonic() + 30
    while any(
        str(folder / "postgres.new") in argument
        for process in psutil.process_iter(["cmdline"])
        for argument in process.info["cmdline"] or ()
    ):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def start_child(folder: Path) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "started\n"
    return child


def kill_child(child: subprocess.Popen[str]) -> None:
    child.kill()
    child.communicate()


async def test_server_role_reads_and_writes_the_owners_tables_and_no_more(
    postgres: EmbeddedPostgres,
) -> None:
    await query(
        postgres.owner_dsn,
        "CREATE TABLE mine (id bigint GENERATED ALWAYS AS IDENTITY, n serial, v halfvec)",
        "SELECT 1",
    )
    inserted = "INSERT INTO mine (v) VALUES ('[1,2]') RETURNING n"
    assert await query(postgres.server_dsn, inserted) == 1
    assert await query(postgres.server_dsn, "UPDATE mine SET v = '[3]' RETURNING v::text") == "[3]"
    assert await query(postgres.server_dsn, "DELETE FROM mine RETURNING n") == 1
    for forbidden in (
        "CREATE TABLE theirs (a int)",
        "CREATE SCHEMA theirs",
        "TRUNCATE mine",
        "DROP TABLE mine",
        "CREATE EXTENSION vector WITH SCHEMA theirs",
        "SELECT pg_read_file('/etc/passwd')",
        "ALTER ROLE facepass_server SUPERUSER",
        "SET ROLE facepass_owner",
        "SELECT rolpassword FROM pg_authid",
    ):
        with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.DuplicateObjectError)):
            await query(postgres.server_dsn, forbidden)
    rights = "SELECT rolsuper OR rolbypassrls OR rolcreatedb OR rolcreaterole OR rolreplication"
    for dsn in (postgres.server_dsn, postgres.owner_dsn):
        assert await query(dsn, f"{rights} FROM pg_roles WHERE rolname = current_user") is False


async def test_settings_are_those_that_searching_and_safety_need(
    postgres: EmbeddedPostgres,
) -> None:
    for name, value in {
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "data_checksums": "on",
        "listen_addresses": "",
        "jit": "off",
        "max_parallel_workers_per_gather": "0",
        "server_encoding": "UTF8",
    }.items():
        assert await query(postgres.server_dsn, f"SHOW {name}") == value, name


@pytest.mark.parametrize("role", Role)
async def test_wrong_password_is_refused(postgres: EmbeddedPostgres, role: Role) -> None:
    right = postgres.dsn(role)
    password = right.split(":")[2].split("@")[0]
    with pytest.raises(asyncpg.InvalidPasswordError):
        await query(right.replace(password, "wrong"), "SELECT 1")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await query(right.replace(f":{password}", ""), "SELECT 1")


def test_others_can_reach_neither_socket_nor_data_nor_passwords(
    postgres: EmbeddedPostgres, folder: Path
) -> None:
    for name in ("run", "postgres", "logs"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o700, name
    for name in ("passwords.json", "standalone.lock"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600, name
    assert stat.S_IMODE(folder.stat().st_mode) & 0o066 == 0
    if AS_ROOT:
        assert {process.username() for process in processes(folder)} == {"facepass"}
        assert (folder / "passwords.json").stat().st_uid == 0


async def test_databases_are_copied_with_rights_and_dropped(postgres: EmbeddedPostgres) -> None:
    postgres.create_database("template_test")
    owner = postgres.dsn(Role.OWNER, "template_test")
    await query(owner, "CREATE TABLE copied (a int)", "SELECT 1")
    postgres.create_database("copy_test", "template_test")
    server = postgres.dsn(Role.SERVER, "copy_test")
    assert await query(server, "INSERT INTO copied VALUES (7) RETURNING a") == 7
    assert await query(postgres.dsn(Role.OWNER, "copy_test"), "CREATE TABLE later (a int)") is None
    assert await query(server, "SELECT count(*) FROM later") == 0
    postgres.drop_database("copy_test")
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await query(server, "SELECT 1")
    with pytest.raises(ValueError, match="not a plain database name"):
        postgres.create_database('x"; DROP DATABASE facepass; --')


async def test_restart_keeps_data_and_dsn(postgres: EmbeddedPostgres) -> None:
    dsn = postgres.owner_dsn
    await query(dsn, "CREATE TABLE kept AS SELECT 42 AS a", "SELECT 1")
    postgres.stop()
    postgres.start()
    assert postgres.owner_dsn == dsn
    assert await query(postgres.server_dsn, "SELECT a FROM kept") == 42


async def test_second_start_refuses_and_says_who_holds_the_folder(
    postgres: EmbeddedPostgres, folder: Path
) -> None:
    second = EmbeddedPostgres(folder)
    with pytest.raises(SetupError, match=f"in use by .*process {os.getpid()}"):
        second.start()
    second.stop()
    assert await query(postgres.server_dsn, "SELECT 1") == 1
    assert len(postmasters(folder)) == 1


async def test_start_after_the_standalone_was_killed(
    stopped: EmbeddedPostgres, folder: Path
) -> None:
    child = start_child(folder)
    left = postmasters(folder)
    kill_child(child)
    assert postmasters(folder) == left, "Postgres should have survived, else this tests nothing"
    stopped.start()
    assert await query(stopped.server_dsn, "SELECT 1") == 1
    assert len(postmasters(folder)) == 1
    assert set(postmasters(folder)).isdisjoint(left)


async def test_start_after_everything_was_killed(stopped: EmbeddedPostgres, folder: Path) -> None:
    child = start_child(folder)
    stopped_dsn = stopped.owner_dsn
    await query(stopped_dsn, "CREATE TABLE committed AS SELECT 1 AS a", "SELECT 1")
    session = await asyncpg.connect(stopped_dsn)
    kill_child(child)
    os.kill(postmasters(folder)[0], signal.SIGKILL)
    stopped.start()
    assert len(postmasters(folder)) == 1
    assert await query(stopped.server_dsn, "SELECT count(*) FROM committed") == 1
    session.terminate()


async def test_stale_pid_file_with_the_number_of_another_process(
    stopped: EmbeddedPostgres, folder: Path
) -> None:
    (folder / "postgres/postmaster.pid").write_text(f"{os.getpid()}\n{folder}/postgres\n1\n5432\n")
    stopped.start()
    assert await query(stopped.server_dsn, "SELECT 1") == 1


def test_half_made_data_folder_is_made_anew(folder: Path) -> None:
    fresh = Path(tempfile.mkdtemp(prefix="facepass-test-"))
    try:
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(fresh)])
        deadline = time.monotonic() + 30
        while not list(fresh.glob("postgres.new-*/PG_VERSION")):
            assert time.monotonic() < deadline
            time.sleep(0.005)
        child.kill()
        child.wait()
        assert not (fresh / "postgres").exists()
        # Meanwhile the killed one's initdb is still at work, and must not spoil anything.
        with EmbeddedPostgres(fresh) as postgres:
            assert asyncio.run(query(postgres.server_dsn, "SELECT 1")) == 1
            assert len(postmasters(fresh)) == 1
        assert processes(fresh) == []
        await_no_initdb(fresh)
        with EmbeddedPostgres(fresh):
            assert list(fresh.glob("postgres.new-*")) == []
    finally:
        shutil.rmtree(fresh)


@pytest.mark.parametrize(
    ("line", "said"),
    [("fsync = off", "fsync = off.*lose.*postgres.conf"), ("no_such = 1", "no_such")],
    ids=["loses data", "unknown"],
)
def test_settings_that_lose_data_or_are_wrong_are_refused(
    stopped: EmbeddedPostgres, folder: Path, line: str, said: str
) -> None:
    overrides = folder / "postgres.conf"
    overrides.write_text(line + "\n")
    overrides.chmod(0o644)
    try:
        with pytest.raises(SetupError, match=said):
            stopped.start()
        await_no_processes(folder)
    finally:
        overrides.unlink()
    stopped.start()


def test_data_of_another_major_version_is_refused(stopped: EmbeddedPostgres, folder: Path) -> None:
    version = folder / "postgres/PG_VERSION"
    right = version.read_text()
    version.write_text("17\n")
    try:
        with pytest.raises(SetupError, match=r"written by Postgres 17.*brings Postgres 18"):
            stopped.start()
    finally:
        version.write_text(right)
    assert processes(folder) == []


async def test_lost_passwords_are_made_anew(stopped: EmbeddedPostgres, folder: Path) -> None:
    before = stopped.superuser_dsn
    (folder / "passwords.json").unlink()
    stopped.start()
    assert stopped.superuser_dsn != before
    for role in Role:
        assert await query(stopped.dsn(role), "SELECT current_user") == role.value
