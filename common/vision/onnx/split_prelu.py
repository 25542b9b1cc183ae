"""PReLU in operations that onnxruntime's CPU kernels for vectors know.

Around every PRelu onnxruntime puts channels back into their plain order and then into blocks again;
with that, a MobileFaceNet spends half its time. See docs/decisions/0015-cpu-graphs.md.
"""

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

_SLOPE_AXES = 3
"""Of a slope for each channel of feature maps: (C, 1, 1)."""


def without_prelu(model_file: Path) -> bytes:
    """Read a model and replace each PRelu of feature maps: slope * x + (1 - slope) * relu(x).

    What it computes stays the same but for rounding.
    """
    model = onnx.load_model(str(model_file))
    graph = model.graph
    constants = {each.name: each for each in graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        slope = constants.get(node.input[1]) if node.op_type == "PRelu" else None
        if slope is None or len(slope.dims) != _SLOPE_AXES or slope.dims[1:] != [1, 1]:
            nodes.append(node)
        else:
            nodes += _split(graph, node, numpy_helper.to_array(slope).reshape(-1, 1, 1, 1))
    del graph.node[:]
    graph.node.extend(nodes)
    return bytes(model.SerializeToString())


def _split(
    graph: onnx.GraphProto, node: onnx.NodeProto, slopes: NDArray[np.float32]
) -> list[onnx.NodeProto]:
    """What stands for one PRelu. Scaling by channel is a convolution here: it stays in blocks."""
    (output,) = node.output
    below, above, positive = (f"facepass/{output}/{each}" for each in ("below", "above", "relu"))
    scales = ((node.input[0], slopes, below), (positive, 1 - slopes, above))
    for _, factors, name in scales:
        graph.initializer.append(numpy_helper.from_array(factors, f"{name}/scale"))
    return [
        helper.make_node("Relu", [node.input[0]], [positive]),
        *(
            helper.make_node("Conv", [source, f"{name}/scale"], [name], group=len(slopes))
            for source, _, name in scales
        ),
        helper.make_node("Add", [below, above], [output]),
    ]
