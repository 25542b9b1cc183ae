"""SCRFD graphs for other canvas sizes than the one they were exported with."""

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper


class FixedGraph(ValueError):
    """The graph cannot be given another input size."""


def resized_graph(model_file: Path, side: int) -> bytes:
    """Read a detector and give it a static input of `side` x `side` pixels.

    side: a multiple of 32. SCRFD is convolutional: all that may hold its exported size are the
    declared shapes and the sizes to which feature maps are enlarged. Raises FixedGraph if the
    latter do not scale to whole numbers. Whether the result is sound shows when it is run.
    """
    model = onnx.load_model(str(model_file))
    graph = model.graph
    shape = graph.input[0].type.tensor_type.shape.dim
    exported = np.array([axis.dim_value for axis in shape[2:]])
    for axis in shape[2:]:
        axis.dim_value = side
    if exported.all():
        _scale_resizes(graph, side, exported)
    del graph.value_info[:]
    for output in graph.output:
        output.type.tensor_type.ClearField("shape")
    return bytes(model.SerializeToString())


def _scale_resizes(graph: onnx.GraphProto, side: int, exported: NDArray[np.int64]) -> None:
    """Scale the constant target sizes of the feature pyramid's Resize nodes."""
    targets = {node.input[3] for node in graph.node if node.op_type == "Resize" and node.input[3:]}
    for constant in graph.initializer:
        if constant.name not in targets:
            continue
        sizes = numpy_helper.to_array(constant).copy()
        scaled = sizes[2:] * side
        if (scaled % exported).any():
            raise FixedGraph(f"a feature map of {sizes.tolist()} does not scale to {side}")
        sizes[2:] = scaled // exported
        constant.CopyFrom(numpy_helper.from_array(sizes.astype(np.int64), constant.name))
