"""docs/security.md sets up what it says: its commands run, in their order."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from server_process import free_ports

PAGE = Path(__file__).resolve().parents[2] / "docs/security.md"
BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not below pytest's own folder: Postgres' user, when we are root, may not pass through it.
    made = Path(tempfile.mkdtemp(prefix="facepass-security-"))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made)


def script() -> str:
    parts = ["set -euo pipefail", "trap 'kill %1; wait' EXIT"]
    for language, code in BLOCK.findall(PAGE.read_text()):
        parts.append(code if language == "bash" else f"python - <<'END'\n{code}END\n")
    text = "\n".join(parts)
    for port, free in zip(("50051", "50052"), free_ports(2), strict=True):
        text = text.replace(port, str(free))
        server = "INDEXER" if port == "50051" else "SEARCHER"
        text = f"export FACEPASS_{server}_ADDRESS=localhost:{free}\n{text}"
    return text


@pytest.mark.timeout(300)
def test_the_page(folder: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    quiet = {name: text for name, text in os.environ.items() if not name.startswith("FACEPASS_")}
    env = {
        **quiet,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "FACEPASS_ENGINE__KIND": "fake",
        "FACEPASS_ENGINE__WORKERS": "1",
        "FACEPASS_INDEXER__METRICS_LISTEN": "",
        "FACEPASS_SEARCHER__METRICS_LISTEN": "",
    }
    run = subprocess.Popen(
        ["bash", "-c", script()],
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        said, complaints = run.communicate(timeout=280)
    finally:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
    assert run.returncode == 0, f"{said}\n{complaints}"
    assert "TLS, tokens of development" in said
    assert "as it should be" in said
    assert "this needs the scope" not in complaints and "PERMISSION" not in said
    assert "['events/fair-1']" in said
