"""The wheels hold what they need and nothing of others."""

import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

import pytest


def wheel_of(project: Path, out: Path) -> set[PurePosixPath]:
    """Build the project's wheel; returns the files in it, less its metadata."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    built = subprocess.run(command, cwd=project, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    (wheel,) = out.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = [PurePosixPath(name) for name in archive.namelist()]
    return {name for name in names if not name.parts[0].endswith(".dist-info")}


def sources(root: Path, folder: str) -> set[PurePosixPath]:
    """What below a folder of the checkout belongs into a wheel, as paths in the wheel."""
    kinds = {".py", ".pyi", ".sql", ".css"}
    found = (root / folder).rglob("*")
    base = (root / folder).parent
    return {
        PurePosixPath(path.relative_to(base).as_posix()) for path in found if path.suffix in kinds
    }


@pytest.fixture(scope="module")
def server_wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> set[PurePosixPath]:
    return wheel_of(root, tmp_path_factory.mktemp("server"))


def test_server_wheel_holds_every_package_and_its_sql(
    server_wheel: set[PurePosixPath], root: Path
) -> None:
    packages = ("common", "indexer", "searcher", "standalone", "client/facepass")
    wanted = {name for package in packages for name in sources(root, package)}
    assert wanted and wanted <= server_wheel
    assert {name.parts[0] for name in server_wheel} == {Path(name).name for name in packages}


def test_server_wheel_holds_the_migrations(server_wheel: set[PurePosixPath], root: Path) -> None:
    packed = {name.name for name in server_wheel if name.parts[:2] == ("common", "_migrations")}
    assert packed == {path.name for path in (root / "migrations").glob("*.sql")}


def test_client_wheel_has_one_name(root: Path, tmp_path: Path) -> None:
    client = wheel_of(root / "client", tmp_path)
    assert {name.parts[0] for name in client} == {"facepass"}
    assert sources(root, "client/facepass") <= client
