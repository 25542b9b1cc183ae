"""Half precision is used where it agrees with full precision, and refused elsewhere."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from insightface.model_zoo import get_model
from onnx import numpy_helper

from bench.make_models import IResNetShape, Layout, ScrfdShape, iresnet, scrfd
from common.vision.onnx.half import half_file, halved, lowest_cosine
from common.vision.onnx.scrfd import detector_at

SIDE = 64
DETECTOR = ScrfdShape((8, 8, 8, 8), (1, 1, 1, 1), neck=8, tower=8, convs=1, score_bias=0.0)
RECOGNISER = IResNetShape((8, 8, 8, 8), (1, 1, 1, 1), dimension=16)


def load(path: Path) -> Any:
    return get_model(str(path), providers=["CPUExecutionProvider"])


def saved(graph: onnx.ModelProto, folder: Path) -> Any:
    path = folder / "model.onnx"
    onnx.save(graph, str(path))
    return load(path)


def weights_of(model: Any) -> set[int]:
    """Their types."""
    graph = onnx.load(str(model.model_file)).graph
    return {weight.data_type for weight in graph.initializer if numpy_helper.to_array(weight).ndim}


def test_a_recogniser_in_half_precision_says_the_same(tmp_path: Path) -> None:
    full = saved(iresnet(RECOGNISER), tmp_path)
    half = halved(full, load, tmp_path / "cache")
    assert weights_of(half) == {onnx.TensorProto.FLOAT16}
    assert lowest_cosine(full, half) > 0.999


@pytest.mark.parametrize("layout", Layout)
def test_a_detector_in_half_precision_runs_batches(tmp_path: Path, layout: Layout) -> None:
    half = halved(saved(scrfd(DETECTOR, layout, SIDE), tmp_path), load, tmp_path / "cache")
    assert onnx.TensorProto.FLOAT16 in weights_of(half)
    detector = detector_at(half, SIDE, 3)
    assert detector.sizes == [1, 3]
    images = list(np.random.default_rng(2).integers(0, 256, (3, SIDE, SIDE, 3), dtype=np.uint8))
    alone = [detector.detect([image])[0] for image in images]
    for one, other in zip(detector.detect(images), alone, strict=True):
        assert abs(len(one) - len(other)) <= 0.05 * len(other)


def test_what_half_precision_cannot_hold_stays_in_full(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    graph = iresnet(RECOGNISER)
    first = graph.graph.node[0]
    for weight in graph.graph.initializer:
        if weight.name == first.input[1]:  # what comes of it is beyond 65504
            weight.CopyFrom(
                numpy_helper.from_array(1e6 * numpy_helper.to_array(weight), weight.name)
            )
    full = saved(graph, tmp_path)
    with caplog.at_level(logging.WARNING):
        assert halved(full, load, tmp_path / "cache") is full
    assert "full precision" in caplog.text


def test_the_halved_file_is_made_once(tmp_path: Path) -> None:
    full = saved(iresnet(RECOGNISER), tmp_path)
    first = half_file(Path(full.model_file), tmp_path / "cache")
    made = first.stat().st_mtime_ns
    assert half_file(Path(full.model_file), tmp_path / "cache") == first
    assert first.stat().st_mtime_ns == made
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [first.name]
