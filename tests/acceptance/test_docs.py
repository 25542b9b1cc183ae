"""The pages say what is true: their commands run, in their order, against a real standalone.

Blocks marked `bash` and `python` are run; of `console` blocks, for the checkout itself, the
make targets must be there. Where grpcurl is not installed, `buf curl` takes its place.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest
from insightface.data import get_image

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("README.md", "docs/quick-start.md")
BLOCK = re.compile(r"^```(bash|python|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
START_S = 120.0

# What grpcurl is asked on these pages, asked of `buf curl`.
BY_BUF = """#!/usr/bin/env bash
set -euo pipefail
data=()
while [[ $1 == -* ]]; do
  case $1 in
    -plaintext) shift ;;
    -d) data=(-d "${2/#@/@-}"); shift 2 ;;
    *) echo "grpcurl by buf: no $1" >&2; exit 2 ;;
  esac
done
ask=(BUF curl --protocol grpc --http2-prior-knowledge)
case ${2:?} in
  list) exec "${ask[@]}" --list-"$([[ $# == 3 ]] && echo methods || echo services)" "http://$1" ;;
  *) exec "${ask[@]}" "${data[@]}" "http://$1/$2" ;;
esac
"""


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to put on the path, with a grpcurl in it if there is none."""
    folder = tmp_path_factory.mktemp("commands")
    node = str(Path(sys.prefix) / "node/node_modules/.bin")
    buf = shutil.which("buf", path=os.pathsep.join([node, os.environ["PATH"]]))
    if shutil.which("grpcurl") is None:
        if buf is None:
            pytest.skip("neither grpcurl nor buf is installed (`make buf` installs buf with npm)")
        command = folder / "grpcurl"
        command.write_text(BY_BUF.replace("BUF", buf))
        command.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def addresses() -> Iterator[dict[str, str]]:
    """A running standalone: what `make run` starts, on free ports."""
    # Not below pytest's own folder: Postgres' user, when we are root, may not pass through it.
    folder = Path(tempfile.mkdtemp(prefix="facepass-docs-"))
    folder.chmod(0o711)
    ready, log = folder / "ready.json", folder / "log"
    listen = ["--indexer-listen", "--searcher-listen"]
    listen += ["--indexer-metrics-listen", "--searcher-metrics-listen"]
    command = [str(Path(sys.executable).parent / "facepass-server"), "standalone"]
    command += ["--data-dir", str(folder / "data"), "--ready-file", str(ready)]
    command += [part for option in listen for part in (option, "127.0.0.1:0")]
    quiet = {name: text for name, text in os.environ.items() if not name.startswith("FACEPASS_")}
    env = {**quiet, "FACEPASS_ENGINE__KIND": "starter", "FACEPASS_ENGINE__WORKERS": "1"}
    with log.open("wb") as sink:
        server = subprocess.Popen(command, env=env, stdout=sink, stderr=sink)
    try:
        until = time.monotonic() + START_S
        while not ready.exists():
            assert server.poll() is None and time.monotonic() < until, log.read_text()
            time.sleep(0.1)
        yield json.loads(ready.read_text())
    finally:
        server.send_signal(signal.SIGTERM)
        code, said = server.wait(60), log.read_text()
        shutil.rmtree(folder)
        assert code == 0, said


def script_of(page: str) -> str:
    """The page's blocks as one script, as a reader would type them."""
    parts = ["set -euo pipefail"]
    for language, code in BLOCK.findall((ROOT / page).read_text()):
        if language == "bash":
            parts.append(code)
        elif language == "python":
            parts.append(f"python - <<'END_OF_BLOCK'\n{code}END_OF_BLOCK\n")
    return "\n".join(parts)


def run_page(page: str, folder: Path, addresses: dict[str, str], commands: Path) -> str:
    """Run a page in an empty folder that has the checkout's .venv; returns what it printed."""
    (folder / ".venv").symlink_to(sys.prefix)
    script = script_of(page)
    for port, server in (("50051", "indexer"), ("50052", "searcher")):
        script = script.replace(f"localhost:{port}", addresses[server])
    path = [str(commands), str(Path(sys.executable).parent), os.environ["PATH"]]
    env = {
        **os.environ,
        "PATH": os.pathsep.join(path),
        "TMPDIR": str(folder),
        "FACEPASS_INDEXER_ADDRESS": addresses["indexer"],
        "FACEPASS_SEARCHER_ADDRESS": addresses["searcher"],
    }
    run = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=env, capture_output=True, text=True, timeout=100
    )
    assert run.returncode == 0, f"{run.stdout}\n{run.stderr}"
    return run.stdout


def test_quick_start(tmp_path: Path, addresses: dict[str, str], commands: Path) -> None:
    printed = run_page("docs/quick-start.md", tmp_path, addresses, commands)
    assert "facepass.v1.Events" in printed
    assert "IndexPhotos" in printed
    assert "PHOTO_STATE_INDEXED" in printed
    assert "events/party/photos/group.jpg" in printed
    assert re.search(r"^events/wedding/photos/group\.jpg \d", printed, re.MULTILINE)
    assert "1 photos searched" in printed
    (found,) = tmp_path.glob("*/found.html")
    assert "group.jpg" in found.read_text()


def test_readme(tmp_path: Path, addresses: dict[str, str], commands: Path) -> None:
    group = get_image("t1")
    cv2.imwrite(str(tmp_path / "group.jpg"), group)
    cv2.imwrite(str(tmp_path / "selfie.jpg"), group[200:520, 370:660])
    printed = run_page("README.md", tmp_path, addresses, commands)
    assert "events/fair/photos/1" in printed
    assert re.search(r"^group\.jpg [4-6] faces$", printed, re.MULTILINE)
    assert re.search(r"^events/gala/photos/group\.jpg \d", printed, re.MULTILINE)


def test_galleries(tmp_path: Path, addresses: dict[str, str], commands: Path) -> None:
    printed = run_page("docs/galleries.md", tmp_path, addresses, commands)
    assert "every face is compared" in printed
    assert "OptimizeEventResponse" in printed
    assert "INDEX_STRATEGY_EXACT" in printed
    assert re.search(r"operations/[0-9a-f-]{36}", printed)


@pytest.mark.parametrize("page", [*PAGES, "docs/operations.md"])
def test_make_targets_are_there(page: str) -> None:
    blocks = [code for kind, code in BLOCK.findall((ROOT / page).read_text()) if kind == "console"]
    lines = [line for code in blocks for line in code.splitlines()]
    assert lines and all(line.startswith("$ make ") for line in lines)
    for line in lines:
        command = ["make", "--dry-run", "--assume-old=setup", *line.split()[2:]]
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr


@pytest.mark.parametrize(
    "page", [*PAGES, *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]
)
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text()
    links = re.findall(r"\]\((?!https?://)([^)#]+)", text)
    missing = [link for link in links if not ((ROOT / page).parent / link).exists()]
    assert missing == []
