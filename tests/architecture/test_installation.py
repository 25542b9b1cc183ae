"""The environment: packages that collide are there once, and our names are ours."""

import importlib.util
from importlib import metadata
from pathlib import Path

import pytest

OURS = {
    "common": "common",
    "indexer": "indexer",
    "searcher": "searcher",
    "standalone": "standalone",
    "facepass": "client/facepass",
}


@pytest.fixture(scope="module")
def installed() -> set[str]:
    names = (each.metadata["Name"] for each in metadata.distributions())
    return {name.lower().replace("_", "-") for name in names}


@pytest.mark.parametrize(
    "rivals",
    [
        {"onnxruntime", "onnxruntime-gpu"},
        {
            "opencv-python",
            "opencv-python-headless",
            "opencv-contrib-python",
            "opencv-contrib-python-headless",
        },
        {"dlib", "dlib-bin"},
    ],
    ids=lambda rivals: min(rivals),
)
def test_exactly_one_rival_is_installed(rivals: set[str], installed: set[str]) -> None:
    """Each set shares one import name: two of them overwrite each other's files."""
    assert len(rivals & installed) == 1


@pytest.mark.parametrize("name", OURS)
def test_no_other_distribution_owns_our_names(name: str, root: Path) -> None:
    owners = set(metadata.packages_distributions().get(name, []))
    assert owners <= {"facepass-server", "facepass"}
    spec = importlib.util.find_spec(name)
    assert spec is not None and spec.origin is not None
    assert Path(spec.origin).parent == root / OURS[name]


def test_lock_is_hashed_and_names_no_place(root: Path) -> None:
    lock = (root / "requirements/dev.lock").read_text()
    assert "://" not in lock
    entries = [entry for entry in lock.replace("\\\n", " ").splitlines() if entry.strip()]
    assert entries and all("==" in entry and "--hash=sha256:" in entry for entry in entries)
