"""A recogniser gives each face of a batch what it gives it alone, whatever the batch."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from insightface.model_zoo import get_model
from numpy.typing import NDArray

from bench.make_models import IResNetShape, iresnet
from common.vision.batches import Unfit
from common.vision.onnx.arcface import ArcFace
from common.vision.types import EmbeddingVector

SMALL = IResNetShape(planes=(8, 8, 8, 8), blocks=(1, 1, 1, 1), dimension=16)
SIZES = [1, 4, 16]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("arcface") / "rec.onnx"
    onnx.save(iresnet(SMALL), str(path))
    return path


@pytest.fixture(scope="module")
def model(path: Path) -> Any:
    return get_model(str(path), providers=["CPUExecutionProvider"])


def faces(count: int) -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(count)
    return list(rng.integers(0, 256, (count, 112, 112, 3), dtype=np.uint8))


def same(one: EmbeddingVector | Unfit, other: EmbeddingVector | Unfit) -> None:
    assert not isinstance(one, Unfit) and not isinstance(other, Unfit)
    np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("sizes", [SIZES, [5], [1, 2, 3, 4, 5, 6, 7, 8]])
def test_a_batch_gives_what_singles_give(model: Any, sizes: list[int]) -> None:
    single, batched = ArcFace(model, [1]), ArcFace(model, sizes)
    batched.warm()
    for count in (0, 1, 3, 17):
        crops = faces(count)
        for one, other in zip(single.embed(crops), batched.embed(crops), strict=True):
            same(one, other)


def test_400_faces_are_run_in_batches_of_the_largest_size(model: Any) -> None:
    """Their memory is that of the largest batch, and their order is kept."""
    crops = faces(400)
    together = ArcFace(model, SIZES).embed(crops)
    assert len(together) == 400
    backwards = ArcFace(model, SIZES).embed(crops[::-1])[::-1]
    for one, other in zip(together, backwards, strict=True):
        same(one, other)


def test_changing_one_face_moves_no_other_embedding(model: Any) -> None:
    recogniser, crops = ArcFace(model, SIZES), faces(16)
    before = recogniser.embed(crops)
    crops[5] = 255 - crops[5]
    after = recogniser.embed(crops)
    for i in range(16):
        if i != 5:
            same(before[i], after[i])
    assert np.abs(before[5] - after[5]).max() > 1e-3


def test_a_poisoned_face_fails_alone(model: Any) -> None:
    recogniser, crops = ArcFace(model, SIZES), faces(6)
    expected = recogniser.embed(crops)
    poisoned: list[Any] = [crop.astype(np.float32) for crop in crops]
    poisoned[1] = poisoned[1] * np.nan
    poisoned[4] = poisoned[4][:, :-1]
    for i, embedding in enumerate(recogniser.embed_each(poisoned)):
        if i in (1, 4):
            assert isinstance(embedding, Unfit)
        else:
            same(embedding, expected[i])
    with pytest.raises(Unfit):
        recogniser.embed(poisoned)
