"""What happens as a server says that it is ready."""

import gc
from pathlib import Path

import pytest

from common.vision.fake.engine import FakeEngine
from standalone import serve
from standalone.summary import Summary


def test_a_running_server_is_not_looked_through(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = Summary("data", "open", FakeEngine().pack, ())
    ready = tmp_path / "ready"
    try:
        with serve._ready(summary, ready):
            assert gc.get_freeze_count() > 10_000 > len(gc.get_objects())
            assert ready.exists()
    finally:
        gc.unfreeze()
    assert not ready.exists()
    assert capsys.readouterr().out.endswith("Ready. Ctrl-C stops it.\n")
