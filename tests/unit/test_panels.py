"""What a Prometheus saw becomes images, and a table of alerts beside what was broken."""

import json
from pathlib import Path
from typing import Any

import pytest

from tools import panels

PAGE = f"# Running\n\n{panels.START}\nstale\n{panels.END}\n\nmore\n"


def course(alert: str, pending: float, firing: float | None, quiet: float | None) -> dict[str, Any]:
    told = {"alert": alert, "job": "facepass-indexer", "severity": "critical"}
    return {**told, "pending": pending, "firing": firing, "quiet": quiet}


def test_a_recording_is_drawn_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panels, "DOCS", tmp_path)
    (tmp_path / "operations.md").write_text(PAGE)
    labels = {"job": "facepass-indexer", "instance": "127.0.0.1:40000"}
    points = [[1000 + second, "NaN" if second == 5 else str(second)] for second in range(60)]
    line = {"legend": "{{instance}} {{state}}", "labels": labels, "points": points}
    panel = {"title": "Calls", "unit": "reqps", "type": "timeseries", "description": ""}
    recording = {
        "span": [1000, 1060],
        "faults": [{"name": "the disk", "start": 1010, "end": 1030}],
        "alerts": [
            course("FacepassDown", 1012, 1022, 1031),
            course("FacepassErrors", 1015, 1035, None),
            course("FacepassRefusals", 1016, None, 1040),
            course("FacepassQueueFull", 1001, 1005, None),
        ],
        "rows": [{"title": "Much work", "panels": [{**panel, "lines": [line]}]}],
    }
    path = tmp_path / "recording.json"
    path.write_text(json.dumps(recording))
    panels.main(path)
    page = (tmp_path / "operations.md").read_text()
    name = "[FacepassDown](#facepassdown)"
    assert f"| 1 | the disk, for 20 s | {name} | indexer | 2 s | 12 s | 1 s |" in page
    assert "| [FacepassErrors](#facepasserrors) | indexer | 5 s | 25 s | not by the end |" in page
    assert "While nothing was broken, [FacepassQueueFull](#facepassqueuefull) fired too." in page
    assert "FacepassRefusals" not in page
    assert page.startswith("# Running") and page.endswith("more\n") and "stale" not in page
    assert "![Much work](images/operations-much-work.svg)" in page
    assert "indexer:9101" in (tmp_path / "images/operations-much-work.svg").read_text()
