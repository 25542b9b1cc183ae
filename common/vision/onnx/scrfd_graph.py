"""SCRFD graphs for pixels as they are, and for other sizes than those they were exported with."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from common.vision.onnx.joined_convolutions import join_convolutions

HEAD_WIDTHS = (1, 4, 10)
"""Numbers a prediction: score, box, landmarks. Three heads each, in this order."""
MEAN, STD = 127.5, 128.0
"""Of the pixels that SCRFD was trained on. Source: insightface model_zoo/scrfd.py."""
_BATCH_FIRST = (0, 2, 3, 1)
_INTERLEAVED = (2, 3, 0, 1)
_PASSED = ("Sigmoid", "Identity", "Cast")
"""What may stand behind a head's Transpose or Reshape, without moving anything."""


class FixedGraph(ValueError):
    """The graph cannot be given another input size."""


def resized_graph(model_file: Path, side: int, batch: int = 1) -> bytes:
    """Read a detector and give it a static input: (batch, side, side, 3) uint8 BGR.

    side: a multiple of 32. SCRFD is convolutional: all that may hold its exported size are the
    declared shapes, the sizes to which feature maps are enlarged, and the heads, which are given
    the shape (batch, rows, k) for batches. Raises FixedGraph if one of them is not as in an SCRFD.
    Whether the result is sound shows when it is run.
    """
    model = onnx.load_model(str(model_file))
    graph = model.graph
    shape = graph.input[0].type.tensor_type.shape.dim
    exported = np.array([axis.dim_value for axis in shape[2:]])
    _take_pixels(graph, (batch, side, side, 3))
    _scale_resizes(graph, side, exported, batch)
    if batch > 1:
        _free_heads(graph, batch)
    join_convolutions(model)
    return _saved(model)


def open_graph(model_file: Path) -> bytes:
    """Read a detector and leave the sides of its input open: (1, height, width, 3) uint8 BGR.

    height, width: each a multiple of 32. Feature maps of constant size become maps twice as large
    as those they are made of, as an SCRFD's are. Raises FixedGraph if a head is not as in an SCRFD.
    Whether the result is sound shows when it is run.
    """
    model = onnx.load_model(str(model_file))
    _take_pixels(model.graph, (1, "height", "width", 3))
    _double_resizes(model.graph)
    _free_heads(model.graph, 1)
    join_convolutions(model)
    return _saved(model)


def _saved(model: onnx.ModelProto) -> bytes:
    """The file's content, less the shapes that were true of its old input."""
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    return bytes(model.SerializeToString())


def _take_pixels(graph: onnx.GraphProto, shape: Sequence[int | str]) -> None:
    """Put in front of the graph what makes normalised planes of pixels: cheaper there than before,
    see docs/decisions/0013-batches.md."""
    name, place = graph.input[0].name, "facepass/"
    pixels, planes, rgb, wide, centred = (
        place + each for each in ("pixels", "planes", "rgb", "wide", "centred")
    )
    constants = {
        "order": np.array([2, 1, 0], np.int64),
        "mean": np.array([MEAN], np.float32),
        "scale": np.array([1 / STD], np.float32),
    }
    for each, values in constants.items():
        graph.initializer.append(numpy_helper.from_array(values, place + each))
    nodes = [
        helper.make_node("Transpose", [pixels], [planes], perm=[0, 3, 1, 2]),
        helper.make_node("Gather", [planes, f"{place}order"], [rgb], axis=1),
        helper.make_node("Cast", [rgb], [wide], to=TensorProto.FLOAT),
        helper.make_node("Sub", [wide, f"{place}mean"], [centred]),
        helper.make_node("Mul", [centred, f"{place}scale"], [name]),
    ]
    for i, node in enumerate(nodes):
        graph.node.insert(i, node)
    graph.input[0].CopyFrom(helper.make_tensor_value_info(pixels, TensorProto.UINT8, shape))


def _scale_resizes(
    graph: onnx.GraphProto, side: int, exported: NDArray[np.int64], batch: int
) -> None:
    """Scale the constant target sizes of the feature pyramid's Resize nodes."""
    constants = _constants(graph)
    targets = {node.input[3] for node in graph.node if node.op_type == "Resize" and node.input[3:]}
    for name in targets & constants.keys():
        sizes = numpy_helper.to_array(constants[name]).astype(np.int64)
        sizes[0] = batch
        if exported.all():
            scaled = sizes[2:] * side
            if (scaled % exported).any():
                raise FixedGraph(f"a feature map of {sizes.tolist()} does not scale to {side}")
            sizes[2:] = scaled // exported
        constants[name].CopyFrom(numpy_helper.from_array(sizes, constants[name].name))


def _double_resizes(graph: onnx.GraphProto) -> None:
    """Have Resize nodes of constant target size enlarge by two instead."""
    constants = _constants(graph)
    fixed = [
        node
        for node in graph.node
        if node.op_type == "Resize" and node.input[3:] and node.input[3] in constants
    ]
    for i, node in enumerate(fixed):
        twice = np.array([1, 1, 2, 2], np.float32)
        graph.initializer.append(numpy_helper.from_array(twice, f"facepass/twice{i}"))
        del node.input[3:]
        node.input[2] = f"facepass/twice{i}"


def _constants(graph: onnx.GraphProto) -> Mapping[str, onnx.TensorProto]:
    """The constants that the graph itself holds, by the name they are used under."""
    nodes = {
        node.output[0]: node.attribute[0].t
        for node in graph.node
        if node.op_type == "Constant" and node.attribute[0].name == "value"
    }
    return nodes | {weight.name: weight for weight in graph.initializer}


def _free_heads(graph: onnx.GraphProto, batch: int) -> None:
    """Have each head give (batch, rows, k), whichever way it was exported.

    Exports end in Transpose and Reshape: to (N, H, W, C) and (N, -1, k), where N may be a constant
    1; or, in the packs that InsightFace publishes, to (H, W, N, C) and (-1, k).
    Source of the latter: insightface detection/scrfd, before its pull request 1781.
    """
    makers = {name: node for node in graph.node for name in node.output}
    if len(graph.output) != 3 * len(HEAD_WIDTHS):
        raise FixedGraph(f"the detector has {len(graph.output)} heads")
    for i, output in enumerate(graph.output):
        reshape = _behind(makers, output.name, "Reshape")
        transpose = _behind(makers, reshape.input[0], "Transpose")
        perm = transpose.attribute[0].ints if transpose.attribute else ()
        if tuple(perm) not in (_BATCH_FIRST, _INTERLEAVED):
            raise FixedGraph(f"the head {output.name} is turned by {list(perm)}")
        transpose.attribute[0].ints[:] = _BATCH_FIRST
        rows = np.array([batch, -1, HEAD_WIDTHS[i // 3]], np.int64)
        reshape.input[1] = f"{output.name}/rows"
        graph.initializer.append(numpy_helper.from_array(rows, reshape.input[1]))


def _behind(makers: Mapping[str, onnx.NodeProto], name: str, kind: str) -> onnx.NodeProto:
    """The node of that kind which makes a value, but for what only passes it on."""
    node = makers.get(name)
    while node is not None and node.op_type in _PASSED:
        node = makers.get(node.input[0])
    if node is None or node.op_type != kind:
        raise FixedGraph(f"{name} is not made by a {kind}")
    return node
