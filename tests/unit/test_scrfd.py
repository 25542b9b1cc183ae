"""Raw outputs of SCRFD graphs become faces, whichever way the graph was exported."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from common.vision.images.canvas import fit
from common.vision.onnx.scrfd_graph import FixedGraph, resized_graph
from common.vision.onnx.scrfd_heads import ANCHORS, STRIDES, decode_heads, numbered

SIDE, WIDTH = 64, 96
ROWS = [(SIDE // stride) * (WIDTH // stride) * ANCHORS for stride in STRIDES]


def blank_heads(batch: int) -> list[NDArray[np.float32]]:
    return [np.zeros((batch, rows, k), np.float32) for k in (1, 4, 10) for rows in ROWS]


def interleaved(head: NDArray[np.float32]) -> NDArray[np.float32]:
    """(batch, rows, k) as `permute(2, 3, 0, 1).reshape(-1, k)` leaves it."""
    batch, rows, k = head.shape
    split = head.reshape(batch, rows // ANCHORS, ANCHORS, k)
    return split.transpose(1, 0, 2, 3).reshape(-1, k)


@given(
    st.integers(0, 2), st.integers(0, 11), st.integers(0, 7), st.integers(0, 1), st.integers(1, 3)
)
def test_one_prediction_is_placed(level: int, x: int, y: int, anchor: int, batch: int) -> None:
    stride = STRIDES[level]
    columns, rows = WIDTH // stride, SIDE // stride
    x, y = x % columns, y % rows
    row = (y * columns + x) * ANCHORS + anchor
    heads = blank_heads(batch)
    heads[level][-1, row] = 0.75
    heads[level + 3][-1, row] = [1, 2, 3, 4]
    heads[level + 6][-1, row] = range(10)
    *others, last = decode_heads(heads, batch=batch, height=SIDE, width=WIDTH)
    assert all(len(other) == 0 for other in others)
    centre = np.array([x, y]) * stride
    assert last.scores.tolist() == [0.75]
    box = np.tile(centre, 2) + np.array([-1, -2, 3, 4]) * stride
    assert last.boxes[0].tolist() == box.tolist()
    expected = centre + np.arange(10).reshape(5, 2) * stride
    assert last.landmarks[0].tolist() == expected.tolist()


@given(st.integers(1, 4), st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_both_layouts_of_a_batch_give_the_same_faces(batch: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    heads = [rng.random(head.shape, dtype=np.float32) for head in blank_heads(batch)]
    mixed_heads = [interleaved(head) for head in heads]
    plain = decode_heads(heads, batch=batch, height=SIDE, width=WIDTH)
    mixed = decode_heads(mixed_heads, batch=batch, height=SIDE, width=WIDTH)
    for one, other in zip(plain, mixed, strict=True):
        assert len(one) > 0
        np.testing.assert_array_equal(one.boxes, other.boxes)
        np.testing.assert_array_equal(one.scores, other.scores)
        np.testing.assert_array_equal(one.landmarks, other.landmarks)


@given(st.integers(1, 900), st.integers(1, 900), st.booleans())
def test_images_of_any_shape_fit_a_canvas(width: int, height: int, smooth: bool) -> None:
    image = np.full((height, width, 3), 200, np.uint8)
    fitted = fit(image, SIDE, smooth=smooth)
    rows, columns, _ = fitted.pixels.shape
    assert max(rows, columns) == SIDE
    assert (fitted.pixels == 200).all()
    for fits, length in [(rows, height), (columns, width)]:
        assert fits >= 1
        assert abs(fits - length * SIDE / max(width, height)) <= 1
    assert rows == pytest.approx(height * fitted.scale)


def pyramid(folder: Path, *, sizes: list[int]) -> Path:
    """A graph that halves its 64-pixel input, and enlarges it again to a baked-in size."""
    graph = helper.make_graph(
        nodes=[
            helper.make_node("MaxPool", ["image"], ["half"], kernel_shape=[2, 2], strides=[2, 2]),
            helper.make_node("Resize", ["half", "", "", "sizes"], ["whole"], mode="nearest"),
        ],
        name="pyramid",
        inputs=[helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        outputs=[helper.make_tensor_value_info("whole", TensorProto.FLOAT, sizes)],
        initializer=[numpy_helper.from_array(np.array(sizes, np.int64), "sizes")],
    )
    opset = helper.make_opsetid("", 13)
    path = folder / "pyramid.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), str(path))
    return path


def test_a_graph_with_baked_sizes_runs_at_another_one(tmp_path: Path) -> None:
    content = resized_graph(pyramid(tmp_path, sizes=[1, 3, SIDE, SIDE]), 32)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    image = np.random.default_rng(1).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
    (whole,) = session.run(None, {session.get_inputs()[0].name: image})
    assert whole.shape == (1, 3, 32, 32)
    reds = (image[0, :, :, 2] - np.float32(127.5)) / 128
    assert whole[0, 0, 0, 0] == reds[:2, :2].max()


def test_sizes_that_do_not_scale_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FixedGraph):
        resized_graph(pyramid(tmp_path, sizes=[1, 3, SIDE, 33]), 32)


def test_an_item_without_numbers_is_known() -> None:
    heads = blank_heads(3)
    heads[1][1, 5] = np.nan
    heads[8][2, 0] = np.nan  # landmarks of what is no face do not matter
    assert numbered(heads, batch=3).tolist() == [True, False, True]
    assert numbered([interleaved(head) for head in heads], batch=3).tolist() == [True, False, True]
