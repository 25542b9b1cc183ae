"""On which canvases a pack's detector looks, by who asks it."""

from pathlib import Path

import pytest
from square_pack import write_square_pack

from common.config import EngineSettings
from common.vision.onnx.models import load_models


def settings(folder: Path, detect_batch: int) -> EngineSettings:
    return EngineSettings(
        pack=str(write_square_pack(folder / "squares")),
        providers=["CPUExecutionProvider"],
        detect_batch=detect_batch,
    )


def test_one_worker_on_a_cpu_has_one_session_for_canvases_of_any_shape(tmp_path: Path) -> None:
    models = load_models(settings(tmp_path, 1))
    assert models.close is models.whole
    assert list(models.whole.sizes) == [1]


@pytest.mark.parametrize(
    ("detect_batch", "shared", "whole", "close"),
    [(1, True, [1], [1]), (3, False, [1, 3], [1]), (3, True, [1, 3], [1, 3])],
)
def test_batches_and_shared_models_have_one_for_each_canvas(
    tmp_path: Path, detect_batch: int, shared: bool, whole: list[int], close: list[int]
) -> None:
    models = load_models(settings(tmp_path, detect_batch), shared=shared)
    assert models.close.side < models.whole.side
    assert (list(models.whole.sizes), list(models.close.sizes)) == (whole, close)
