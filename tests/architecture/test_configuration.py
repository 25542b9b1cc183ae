"""Every setting stands in docs/configuration.md and deploy/env.example, with its true default."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from indexer.config import IndexerSettings
from searcher.config import SearcherSettings


def test_pages_are_fresh(root: Path) -> None:
    command = [sys.executable, "tools/configuration.py", "--check"]
    run = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_every_settings_class_is_told(root: Path) -> None:
    """A new class of settings must be added to tools/configuration.py."""
    told = (root / "tools/configuration.py").read_text()
    for path in sorted(root.glob("*/config.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and node.name.endswith("Settings"):
                bases = {ast.unparse(base) for base in node.bases}
                assert not bases & {"CommonSettings", "BaseSettings"} or (
                    node.name in told or node.name == "CommonSettings"
                ), f"{path}: {node.name}"


@pytest.mark.parametrize("settings", [IndexerSettings, SearcherSettings])
def test_env_example_holds_the_defaults(
    settings: type[IndexerSettings] | type[SearcherSettings],
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = (root / "deploy/env.example").read_text().splitlines()
    variables = dict(line[1:].split("=", 1) for line in lines if line.startswith("#FACEPASS_"))
    assert len(variables) > 20
    plain = settings()
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert settings() == plain
