"""Convolutions of one input become one, and every value stays what it was."""

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from common.vision.onnx.joined_convolutions import join_convolutions

OUTPUTS = ["a", "b", "wide", "strided", "grouped", "behind"]


def graph(opset: int) -> onnx.ModelProto:
    """Convolutions of one input: `a` and `b` alike, each of the others in one way different."""
    rng = np.random.default_rng(2)
    constants: list[onnx.TensorProto] = []

    def conv(
        source: str, name: str, shape: tuple[int, ...], **attributes: object
    ) -> onnx.NodeProto:
        weight = rng.normal(size=shape).astype(np.float32)
        bias = rng.normal(size=shape[0]).astype(np.float32)
        constants.extend(
            numpy_helper.from_array(x, name + n) for x, n in [(weight, "w"), (bias, "b")]
        )
        inputs = [source, f"{name}w", f"{name}b"]
        return helper.make_node("Conv", inputs, [name], **attributes)

    three, five = {"pads": [1, 1, 1, 1]}, {"pads": [2, 2, 2, 2]}
    nodes = [
        conv("x", "a", (2, 4, 3, 3), **three),
        conv("x", "wide", (2, 4, 5, 5), **five),
        conv("x", "strided", (2, 4, 3, 3), strides=[2, 2], **three),
        conv("x", "grouped", (4, 1, 3, 3), group=4, **three),
        conv("x", "grouped too", (4, 1, 3, 3), group=4, **three),
        conv("a", "behind", (3, 2, 3, 3), **three),
        conv("x", "b", (5, 4, 3, 3), **three),
    ]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in OUTPUTS]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 8, 8])
    made = helper.make_graph(nodes, "convolutions", [x], values, constants)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def run(model: onnx.ModelProto) -> list[NDArray[np.float32]]:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    image = np.random.default_rng(3).normal(size=(1, 4, 8, 8)).astype(np.float32)
    return [np.asarray(each) for each in session.run(OUTPUTS, {"x": image})]


@pytest.mark.parametrize("opset", [11, 12, 13, 17])
def test_what_is_alike_is_joined_and_nothing_changes(opset: int) -> None:
    model = graph(opset)
    before = run(model)
    join_convolutions(model)
    assert [node.op_type for node in model.graph.node].count("Conv") == 6
    for one, other in zip(before, run(model), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
