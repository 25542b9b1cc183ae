"""The benchmark of indexing runs from end to end, tiny; its times say nothing then, its answers
do."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench import page

pytestmark = [pytest.mark.timeout(400), pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[2]
PROMISED = (
    "speedup_vs_b1", "pipeline_efficiency", "scaled_decode_speedup", "parity_median_cosine",
    "selfie_p50_busy_vs_idle", "peak_rss_gb", "rss_growth", "peak_rss_crowd_gb", "overhead_share",
    "shrunk_lost", "shrunk_median_cosine", "shrunk_separation",
)  # fmt: skip


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "bench.index", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=380)


@pytest.fixture(scope="module")
def result(packs_dir: Path, photos_dir: Path) -> dict[str, Any]:
    """What `bench.index` prints at last."""
    done = run("--scale", "0.01", "--packs", str(packs_dir), "--photos", str(photos_dir))
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def test_it_tells_every_figure(result: dict[str, Any]) -> None:
    assert result["name"] == "index" and result["machine"] and result["commit"]
    assert [key for key in PROMISED if not isinstance(result.get(key), int | float)] == []
    assert set(result["sizes"]["photos"]) == {"real", "demo", "camera"}


def test_what_is_committed_is_what_insightface_finds(result: dict[str, Any]) -> None:
    assert result["parity_median_cosine"] >= 0.9999
    assert result["parity_matched"] >= 0.9


def test_the_page_takes_the_figures(result: dict[str, Any]) -> None:
    text = page.with_part(page.PAGE.read_text(), result)
    assert all(f"| {label} |" in text for label, *_ in result["table"])


def test_without_packs_it_says_so_and_succeeds(tmp_path: Path) -> None:
    done = run("--packs", str(tmp_path))
    assert (done.returncode, done.stdout) == (0, "")
    assert "no model pack" in done.stderr
