"""How many workers are started, of how many threads: as set, else as a trial shows."""

from pathlib import Path

import onnx
import pytest

from bench.make_models import IResNetShape, ScrfdShape, write_pack
from common.config import EngineSettings
from common.vision.workers.self_tune import Crew, choose_crew
from common.vision.workers.trial import fastest, trial


@pytest.mark.parametrize(
    ("set_to", "expected"),
    [
        ({"workers": 3}, (3, 1)),
        ({"workers": 3, "threads": 2}, (3, 2)),
        ({"threads": 4}, (2, 4)),
        ({"threads": 16}, (1, 16)),
        ({}, (8, 1)),
    ],
)
def test_what_is_set_is_not_tried(set_to: dict[str, int], expected: tuple[int, int]) -> None:
    crew = choose_crew(EngineSettings.model_validate({"kind": "fake", **set_to}), cores=8)
    assert (crew.workers, crew.threads) == expected


@pytest.mark.parametrize(
    ("set_to", "expected"),
    [
        ({}, (8, 8)),
        ({"workers": 12}, (12, 8)),
        ({"threads": 2}, (8, 2)),
    ],
)
def test_workers_that_share_models(set_to: dict[str, int], expected: tuple[int, int]) -> None:
    settings = EngineSettings.model_validate({"pack": "any", "shared_models": "yes", **set_to})
    crew = choose_crew(settings, cores=8)
    assert (crew.shared, crew.workers, crew.threads) == (True, *expected)
    assert f"threads of the models they share: {crew.threads}" in str(crew)


@pytest.mark.parametrize("kind", ["fake", "starter"])
def test_only_packs_are_shared(kind: str) -> None:
    settings = EngineSettings.model_validate({"kind": kind, "shared_models": "yes"})
    assert not choose_crew(settings, cores=2).shared


def test_on_a_cpu_each_worker_has_its_own_unless_set(tmp_path: Path) -> None:
    """Also where the number of workers is set, and only a process of its own can tell of a GPU."""
    small = ScrfdShape((8, 8, 8, 8), (1, 1, 1, 1), neck=8, tower=8, convs=1)
    write_pack(tmp_path, small, IResNetShape((8, 8, 8, 8), (1, 1, 1, 1), dimension=16))
    cpu = ["CPUExecutionProvider"]
    for providers, shared_models in ((cpu, "auto"), (cpu, "no"), ([], "no")):
        settings = EngineSettings.model_validate(
            {
                "pack": str(tmp_path),
                "workers": 3,
                "providers": providers,
                "shared_models": shared_models,
            }
        )
        assert choose_crew(settings, cores=2) == Crew(3, 1, "as set")
        assert trial(settings, cores=2) == Crew(3, 1, "as set")


def test_more_threads_must_be_clearly_better() -> None:
    assert fastest({1: 100.0, 2: 105.0}, cores=8).workers == 8
    assert fastest({1: 100.0, 2: 130.0, 4: 120.0}, cores=8).workers == 4
    assert fastest({1: 100.0, 2: 90.0, 4: 120.0}, cores=16).threads == 4
    assert "130.0 with 2" in str(fastest({1: 100.0, 2: 130.0}, cores=2))


def test_a_pack_is_tried_in_a_process_of_its_own(tmp_path: Path) -> None:
    small = ScrfdShape((8, 8, 8, 8), (1, 1, 1, 1), neck=8, tower=8, convs=1)
    write_pack(tmp_path, small, IResNetShape((8, 8, 8, 8), (1, 1, 1, 1), dimension=16))
    settings = EngineSettings(pack=str(tmp_path), providers=["CPUExecutionProvider"])
    crew = choose_crew(settings, cores=2)
    assert crew.workers * crew.threads == 2
    assert "canvases/s" in crew.because


def test_a_pack_that_cannot_be_tried_gets_one_worker_a_core(tmp_path: Path) -> None:
    onnx.save(onnx.ModelProto(), str(tmp_path / "empty.onnx"))
    for folder in (tmp_path, tmp_path / "nowhere"):
        crew = choose_crew(EngineSettings(pack=str(folder)), cores=2)
        assert (crew.workers, crew.threads) == (2, 1)
