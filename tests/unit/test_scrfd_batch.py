"""A detector gives each canvas of a batch what it gives it alone, however it was exported."""

import logging
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from insightface.model_zoo import get_model

from bench.make_models import Layout, ScrfdShape, scrfd
from common.vision.batches import Unfit
from common.vision.faces.detections import Detections
from common.vision.onnx.scrfd import Scrfd, detector_at, open_detector
from common.vision.onnx.scrfd_graph import FixedGraph, resized_graph
from common.vision.types import BgrImage

SIDE = 64
BATCH = 4
SMALL = ScrfdShape(
    planes=(8, 8, 8, 16), blocks=(1, 1, 1, 1), neck=8, tower=8, convs=1, score_bias=0.0
)


def model_of(graph: onnx.ModelProto, folder: Path) -> Any:
    path = folder / "det.onnx"
    onnx.save(graph, str(path))
    return get_model(str(path), providers=["CPUExecutionProvider"])


@pytest.fixture(params=Layout)
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return model_of(scrfd(SMALL, request.param, SIDE), tmp_path)


def canvases(count: int, seed: int = 3, side: int = SIDE) -> list[BgrImage]:
    rng = np.random.default_rng(seed)
    patches = rng.integers(0, 256, (count, 6, 6, 3), dtype=np.uint8)
    return [np.asarray(cv2.resize(each, (side, side)), np.uint8) for each in patches]


def same(one: Detections | Unfit, other: Detections | Unfit) -> None:
    assert isinstance(one, Detections) and isinstance(other, Detections)
    assert len(one) > 0
    np.testing.assert_allclose(one.scores, other.scores, atol=1e-5)
    np.testing.assert_allclose(one.boxes, other.boxes, atol=1e-3)
    np.testing.assert_allclose(one.landmarks, other.landmarks, atol=1e-3)


@pytest.mark.parametrize("side", [SIDE, 96])
def test_a_batch_gives_what_singles_give(model: Any, side: int) -> None:
    single, batched = detector_at(model, side), detector_at(model, side, BATCH)
    assert (single.sizes, batched.sizes) == ([1], [1, BATCH])
    for count in (1, 2, 3, 4, 5, 11):
        images = canvases(count, seed=count, side=side)
        for one, other in zip(single.detect(images), batched.detect(images), strict=True):
            same(one, other)


def test_a_graph_of_open_sides_gives_a_square_what_it_had_before(model: Any) -> None:
    images = canvases(3, side=96)
    alone, anyhow = detector_at(model, 96), open_detector(model, 96)
    for one, other in zip(alone.detect(images), anyhow.detect(images), strict=True):
        same(one, other)
    for part in (
        image[:height, :width] for image in images for height, width in [(33, 96), (96, 1)]
    ):
        (found,) = anyhow.detect([part])
        same(found, anyhow.detect([padded(part)])[0])


def padded(image: BgrImage) -> BgrImage:
    """Filled up to multiples of 32 with black."""
    rows, columns = (-length % 32 for length in image.shape[:2])
    return np.pad(image, ((0, rows), (0, columns), (0, 0)))


def test_order_does_not_matter(model: Any) -> None:
    detector, images = detector_at(model, SIDE, BATCH), canvases(BATCH)
    found = detector.detect(images)
    for order in ([3, 2, 1, 0], [1, 3, 0, 2]):
        for i, again in zip(order, detector.detect([images[i] for i in order]), strict=True):
            same(found[i], again)


def test_changing_one_canvas_moves_no_other_result(model: Any) -> None:
    detector, images = detector_at(model, SIDE, BATCH), canvases(BATCH)
    found = detector.detect(images)
    for changed in range(BATCH):
        others = [*images]
        others[changed] = 255 - images[changed]
        for i, again in enumerate(detector.detect(others)):
            if i != changed:
                same(found[i], again)
        assert not np.array_equal(detector.detect(others)[changed].scores, found[changed].scores)


def test_a_poisoned_canvas_fails_alone(model: Any) -> None:
    detector, images = detector_at(model, SIDE, BATCH), canvases(6)
    found = detector.detect(images)
    poisoned: list[Any] = [*images]
    poisoned[2] = np.full(images[2].shape, np.nan, np.float32)
    poisoned[4] = np.concatenate([poisoned[4], poisoned[4]])
    for i, again in enumerate(detector.detect_each(poisoned)):
        if i in (2, 4):
            assert isinstance(again, Unfit)
        else:
            same(found[i], again)
    with pytest.raises(Unfit):
        detector.detect(poisoned)


def no_batches(graph: onnx.ModelProto, folder: Path, caplog: pytest.LogCaptureFixture) -> Scrfd:
    """Its detector, which says that it does not run batches."""
    model = model_of(graph, folder)
    with caplog.at_level(logging.WARNING):
        detector = detector_at(model, SIDE, BATCH)
    assert detector.sizes == [1]
    assert "one image at a time" in caplog.text
    for one, other in zip(
        detector.detect(canvases(3)), detector_at(model, SIDE).detect(canvases(3)), strict=True
    ):
        same(one, other)
    return detector


def test_heads_that_are_turned_in_another_way_are_not_batched(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    graph = scrfd(SMALL, Layout.BAKED, SIDE)
    for node in graph.graph.node:
        if node.op_type == "Transpose":
            node.attribute[0].ints[:] = [0, 3, 2, 1]
    no_batches(graph, tmp_path, caplog)


def test_a_graph_that_mixes_canvases_is_not_batched(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    graph = scrfd(SMALL, Layout.BATCH_FIRST, SIDE)
    mean = onnx.helper.make_node("ReduceMean", ["input.1"], ["mean"], axes=[0], keepdims=1)
    mixed = onnx.helper.make_node("Add", ["input.1", "mean"], ["mixed"])
    graph.graph.node[0].input[0] = "mixed"
    graph.graph.node.insert(0, mixed)
    graph.graph.node.insert(0, mean)
    no_batches(graph, tmp_path, caplog)
    assert "than alone" in caplog.text


def test_heads_without_a_known_end_are_refused(tmp_path: Path) -> None:
    graph = scrfd(SMALL, Layout.BAKED, SIDE)
    last = onnx.helper.make_node("Neg", [graph.graph.output[3].name], ["negative"])
    graph.graph.node.append(last)
    graph.graph.output[3].name = "negative"
    onnx.save(graph, str(tmp_path / "det.onnx"))
    with pytest.raises(FixedGraph, match="negative"):
        resized_graph(tmp_path / "det.onnx", SIDE, BATCH)
