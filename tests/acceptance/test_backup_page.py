"""The commands of docs/backup.md do what the page says, in its order."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from standalone.embedded import EmbeddedPostgres

PAGE = Path(__file__).resolve().parents[2] / "docs/backup.md"
BLOCK = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not below pytest's own folder: Postgres' user, when we are root, may not pass through it."""
    made = Path(tempfile.mkdtemp(prefix="facepass-backup-page-"))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_backup_page(folder: Path) -> None:
    with EmbeddedPostgres(folder / "facepass"):
        pass
    blocks = BLOCK.findall(PAGE.read_text())
    assert len(blocks) == 4
    script = "\n".join(["set -euo pipefail", *blocks])
    script = script.replace("/srv/", f"{folder}/").replace("/mnt/", f"{folder}/mnt/")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    env = {**os.environ, "PATH": path}
    run = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=env, capture_output=True, text=True
    )
    assert run.returncode == 0, f"{run.stdout}\n{run.stderr}"
    assert "checked" in run.stdout and "whole" in run.stdout and "Restored" in run.stdout
    with EmbeddedPostgres(folder / "facepass-restored") as postgres:
        assert postgres.running
