"""The benchmark runs from end to end, tiny; its times say nothing then, its answers do."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench import page

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
ROOT = Path(__file__).resolve().parents[2]
PROMISED = (
    "speedup_vs_b3_5k", "speedup_vs_b3_500", "recall_hot", "recall_cold_shared", "recall_promoted",
    "many_events_ratio", "copy_vs_insert", "bytes_per_face_hot",
)  # fmt: skip


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    """What `bench.search` prints at last."""
    command = [sys.executable, "-m", "bench.search", "--scale", "0.01"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def test_search_tells_every_figure(result: dict[str, Any]) -> None:
    assert result["name"] == "search" and result["machine"] and result["commit"]
    assert result["sizes"]["dimension"] == 512
    assert [key for key in PROMISED if not isinstance(result.get(key), int | float)] == []


def test_nothing_is_missing_from_exact_answers(result: dict[str, Any]) -> None:
    assert result["recall_hot"] == 1.0
    assert result["recall_cold_shared"] == 1.0


def test_searches_go_on_while_a_graph_is_built(result: dict[str, Any]) -> None:
    assert result["searches_failed"] == 0


def test_the_page_takes_the_figures(result: dict[str, Any]) -> None:
    text = page.with_part(page.PAGE.read_text(), result)
    assert all(f"| {label} |" in text for label, *_ in result["table"])
    # Written again, it is replaced.
    assert page.with_part(text, result) == text
