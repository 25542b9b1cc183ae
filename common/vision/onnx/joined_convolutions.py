"""Convolutions of one input, done as one.

onnxruntime fills each convolution's channels up to the width of the CPU's vectors: SCRFD's three
heads, of 2, 8 and 20 channels, cost 64 apart and 32 together: docs/decisions/0015-cpu-graphs.md.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper

_SPLIT_BY_INPUT = 13
"""First opset whose Split is told the parts by an input, not by an attribute."""


def join_convolutions(model: onnx.ModelProto) -> None:
    """Replace each group of convolutions that differ in their weights alone by one and a Split.

    Every channel is what it was.
    """
    graph = model.graph
    opset = next(each.version for each in model.opset_import if each.domain in ("", "ai.onnx"))
    weights = {weight.name: weight for weight in graph.initializer}
    for group in list(_alike(graph, weights)):
        places = [i for i, node in enumerate(graph.node) if node in group]
        joined = _joined(graph, group, weights, opset)
        for place in reversed(places):
            del graph.node[place]
        for node in reversed(joined):
            graph.node.insert(places[0], node)


def _alike(
    graph: onnx.GraphProto, weights: Mapping[str, onnx.TensorProto]
) -> Iterator[list[onnx.NodeProto]]:
    """Convolutions of one input, with one kernel and biases."""
    groups: dict[object, list[onnx.NodeProto]] = defaultdict(list)
    for node in graph.node:
        if node.op_type == "Conv" and len(node.input) == 3 and weights.keys() >= {*node.input[1:]}:
            kernel = tuple(weights[node.input[1]].dims[1:])
            attributes = sorted((each.name, each.SerializeToString()) for each in node.attribute)
            grouped = any(each.name == "group" and each.i != 1 for each in node.attribute)
            if not grouped:
                groups[node.input[0], kernel, tuple(attributes)].append(node)
    return (group for group in groups.values() if len(group) > 1)


def _joined(
    graph: onnx.GraphProto,
    group: Sequence[onnx.NodeProto],
    weights: Mapping[str, onnx.TensorProto],
    opset: int,
) -> list[onnx.NodeProto]:
    """The one convolution and the Split; their constants are put into the graph."""
    place = f"facepass/{group[0].output[0]}/"
    for i, kind in ((1, "weight"), (2, "bias")):
        parts = [numpy_helper.to_array(weights[node.input[i]]) for node in group]
        graph.initializer.append(numpy_helper.from_array(np.concatenate(parts), place + kind))
    sizes = [weights[node.input[1]].dims[0] for node in group]
    convolution = helper.make_node(
        "Conv", [group[0].input[0], f"{place}weight", f"{place}bias"], [f"{place}joined"]
    )
    convolution.attribute.extend(group[0].attribute)
    outputs = [node.output[0] for node in group]
    if opset < _SPLIT_BY_INPUT:
        split = helper.make_node("Split", [f"{place}joined"], outputs, axis=1, split=sizes)
    else:
        constant = numpy_helper.from_array(np.array(sizes, np.int64), f"{place}sizes")
        graph.initializer.append(constant)
        split = helper.make_node("Split", [f"{place}joined", constant.name], outputs, axis=1)
    return [convolution, split]
