"""A PReLU in other operations gives what it gave, whatever its slopes."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from common.vision.onnx.split_prelu import without_prelu

CHANNELS = 5
SLOPES = np.array([-1.5, 0.0, 0.25, 1.0, 2.5], np.float32)


def write(path: Path, slopes: NDArray[np.float32]) -> None:
    """Two PReLUs behind one another, so that the second has negative values to work on too."""
    graph = helper.make_graph(
        nodes=[
            helper.make_node("PRelu", ["x", "slopes"], ["once"]),
            helper.make_node("Neg", ["once"], ["negative"]),
            helper.make_node("PRelu", ["negative", "slopes"], ["y"]),
        ],
        name="prelu",
        inputs=[helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", CHANNELS, 6, 7])],
        outputs=[helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        initializer=[numpy_helper.from_array(slopes, "slopes")],
    )
    opset = helper.make_opsetid("", 11)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), str(path))


def operations(content: bytes) -> set[str]:
    return {node.op_type for node in onnx.load_model_from_string(content).graph.node}


def run(content: bytes) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    x = np.random.default_rng(4).normal(size=(2, CHANNELS, 6, 7)).astype(np.float32)
    return np.asarray(session.run(None, {"x": x})[0])


def test_it_gives_what_it_gave(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    write(path, SLOPES.reshape(CHANNELS, 1, 1))
    content = without_prelu(path)
    assert "PRelu" not in operations(content)
    np.testing.assert_allclose(run(content), run(path.read_bytes()), atol=1e-6)


def test_slopes_that_are_not_by_channel_are_left(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    write(path, np.linspace(-1, 1, 7, dtype=np.float32))
    content = without_prelu(path)
    assert operations(content) == {"PRelu", "Neg"}
    np.testing.assert_array_equal(run(content), run(path.read_bytes()))
