"""`facepass-server backup`, `restore` and `verify`: what they refuse, and that what is not restored
to its end is started by nobody."""

import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from common.errors import SetupError
from standalone.backup.backup_folder import BackupFolder
from standalone.cli import run
from standalone.data_dir import DataDir
from standalone.embedded import EmbeddedPostgres

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
SETTINGS = {"FACEPASS_ERASURE__BACKUP_RETENTION_DAYS": "30"}


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """With data, and a backup of it. Open to Postgres' user."""
    made = Path(tempfile.mkdtemp(prefix="facepass-backup-"))
    made.chmod(0o711)
    with EmbeddedPostgres(made / "data"):
        pass
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SETTINGS.items():
            patch.setenv(name, value)
        command = ["backup", "--data-dir", str(made / "data"), "--folder", str(made / "backups")]
        assert run(command) == 0
    yield made
    shutil.rmtree(made)


@pytest.fixture
def target(folder: Path) -> Iterator[Path]:
    yield folder / "restored"
    shutil.rmtree(folder / "restored", ignore_errors=True)


def restore(folder: Path, target: Path, *more: str) -> int:
    return run(["restore", str(folder / "backups"), "--to", str(target), *more])


def test_what_runs_elsewhere_is_not_backed_up_here(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    with EmbeddedPostgres(folder / "data"):
        other = ["--folder", str(folder / "elsewhere")]
        assert run(["backup", "--data-dir", str(folder / "data"), *other]) == 1
    assert "does not archive to" in capsys.readouterr().err


def test_a_time_after_the_last_change(
    folder: Path, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert restore(folder, target, "--until", (datetime.now(UTC)).isoformat()) == 0
    assert "restoring all there is" in capsys.readouterr().err
    with EmbeddedPostgres(target) as postgres:
        assert postgres.running
    assert restore(folder, target) == 1
    assert "is not empty" in capsys.readouterr().err


def test_a_time_before_the_first_backup(
    folder: Path, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = datetime.now(UTC) - timedelta(days=1)
    assert restore(folder, target, "--until", before.isoformat()) == 1
    assert "has no backup that was ended by then" in capsys.readouterr().err
    assert not target.exists()


def test_what_is_damaged_is_not_restored(
    folder: Path, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (path,) = (folder / "backups").glob("series-*/*/global/pg_control")
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert restore(folder, target) == 1
    assert f"{path} is damaged" in capsys.readouterr().err
    assert not target.exists()
    path.write_bytes(whole)
    extra = path.with_name("extra")
    extra.touch()
    assert run(["verify", str(path.parents[1])]) == 1
    assert f"{extra} does not belong" in capsys.readouterr().out
    extra.unlink()
    assert run(["verify", str(path.parents[1])]) == 0


def test_without_its_journal_nothing_is_restored(
    folder: Path, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = BackupFolder(folder / "backups").journal.path
    journal.rename(journal.with_suffix(".away"))
    assert restore(folder, target) == 1
    assert "who was erased since" in capsys.readouterr().err
    journal.with_suffix(".away").rename(journal)
    assert not target.exists()


def test_an_unfinished_restore_is_started_by_nobody(folder: Path, target: Path) -> None:
    shutil.copytree(folder / "data", target)
    for path in (target, *target.rglob("*")):
        shutil.chown(path, DataDir.at(folder / "data").user.uid)
    DataDir.at(target).unfinished.touch()
    with pytest.raises(SetupError, match="was not restored to the end"):
        EmbeddedPostgres(target).start()
