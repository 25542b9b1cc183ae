"""Packs of the shape and cost of InsightFace's buffalo_l, with random weights.

For measurements where no pack can be had: they find no faces, and what they say of speed says
nothing of accuracy. A figure from them is to be marked so.

usage: python -m bench.make_models FOLDER
"""

import argparse
import json
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

SIDE = 640
"""Pixels of the canvas that the detector is exported for."""
_SEED = 41
_RESIDUAL_GAIN = 0.3
"""Of the last convolution of a block, so that numbers stay in range through many of them."""


class Layout(Enum):
    """The three ways in which SCRFD detectors are exported."""

    OFFICIAL = "official"
    """Heads (rows, k), the batch between position and anchor; the input's sides left open."""
    BATCH_FIRST = "batch-first"
    """Heads (N, rows, k), N taken from the input."""
    BAKED = "baked"
    """Heads (1, rows, k) and sizes of feature maps as constants."""


@dataclass(frozen=True, slots=True)
class ScrfdShape:
    """Channels and blocks of an SCRFD: ResNet with a deep stem, path aggregation, shared towers.

    Source: insightface detection/scrfd configs/scrfd/scrfd_10g_bnkps.py.
    """

    planes: tuple[int, ...] = (56, 88, 88, 224)
    blocks: tuple[int, ...] = (3, 4, 2, 3)
    neck: int = 56
    tower: int = 80
    convs: int = 3
    score_bias: float = -4.6
    """With random weights this finds nothing."""


@dataclass(frozen=True, slots=True)
class IResNetShape:
    """Channels and blocks of an IResNet. Source: insightface recognition/arcface_torch iresnet."""

    planes: tuple[int, ...] = (64, 128, 256, 512)
    blocks: tuple[int, ...] = (3, 4, 14, 3)
    dimension: int = 512


class _Graph:
    """Nodes and random weights, as they are added."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._rng = np.random.default_rng(_SEED)

    def add(self, kind: str, *inputs: str, **attributes: object) -> str:
        """Add a node and return the name of its output."""
        name = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name, **attributes))
        return name

    def constant(self, values: NDArray[np.generic]) -> str:
        name = f"weight_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def numbers(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))

    def random(self, *shape: int, spread: float) -> str:
        return self.constant(spread * self._rng.standard_normal(shape, np.float32))

    def conv(
        self, x: str, inside: int, out: int, *, side: int = 3, stride: int = 1, gain: float = 1.0
    ) -> str:
        """A convolution with the batch normalisation that follows it in training folded in."""
        spread = gain * float(np.sqrt(2 / (inside * side * side)))
        weight = self.random(out, inside, side, side, spread=spread)
        bias = self.random(out, spread=0.1)
        pads = [side // 2] * 4
        return self.add("Conv", x, weight, bias, strides=[stride] * 2, pads=pads)

    def conv_relu(self, x: str, inside: int, out: int, *, stride: int = 1) -> str:
        return self.add("Relu", self.conv(x, inside, out, stride=stride))

    def norm(self, x: str, channels: int) -> str:
        """A batch normalisation that is nearly none."""
        ones, zeros = np.ones(channels, np.float32), np.zeros(channels, np.float32)
        values = [self.constant(each) for each in (ones, zeros, zeros, ones)]
        return self.add("BatchNormalization", x, *values)

    def prelu(self, x: str, channels: int) -> str:
        slopes = np.full((channels, 1, 1), 0.25, np.float32)
        return self.add("PRelu", x, self.constant(slopes))

    def model(
        self, name: str, image: onnx.ValueInfoProto, outputs: list[onnx.ValueInfoProto]
    ) -> onnx.ModelProto:
        graph = helper.make_graph(self.nodes, name, [image], outputs, self.weights)
        opset = helper.make_opsetid("", 12)
        return helper.make_model(graph, opset_imports=[opset], ir_version=8)


def scrfd(
    shape: ScrfdShape = ScrfdShape(), layout: Layout = Layout.OFFICIAL, side: int = SIDE
) -> onnx.ModelProto:
    """A detector with landmarks on canvases of `side` pixels, in one of the exports' layouts."""
    graph = _Graph()
    maps = _aggregate(graph, shape, _backbone(graph, shape, "input.1"), layout, side)
    towers = []
    for x in maps:
        inside = shape.neck
        for _ in range(shape.convs):
            x, inside = graph.conv_relu(x, inside, shape.tower), shape.tower
        towers.append(x)
    outputs = []
    for k in (1, 4, 10):
        for level, tower in enumerate(towers):
            name = _head(graph, shape, tower, k, layout)
            rows: list[int] = [2 * (side >> (3 + level)) ** 2, k]
            dims = rows if layout is Layout.OFFICIAL else [1, *rows]
            outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, dims))
    sides = ["?", "?"] if layout is Layout.OFFICIAL else [side, side]
    image = helper.make_tensor_value_info("input.1", TensorProto.FLOAT, [1, 3, *sides])
    return graph.model("scrfd", image, outputs)


def _backbone(graph: _Graph, shape: ScrfdShape, x: str) -> list[str]:
    """Feature maps of strides 4, 8, 16 and 32."""
    half, inside = shape.planes[0] // 2, shape.planes[0]
    x = graph.conv_relu(x, 3, half, stride=2)
    x = graph.conv_relu(x, half, half)
    x = graph.conv_relu(x, half, inside)
    x = graph.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    maps = []
    for stage, (planes, blocks) in enumerate(zip(shape.planes, shape.blocks, strict=True)):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            y = graph.conv_relu(x, inside, planes, stride=stride)
            y = graph.conv(y, planes, planes, gain=_RESIDUAL_GAIN)
            if stride > 1:
                x = graph.add("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
            if inside != planes:
                x = graph.conv(x, inside, planes, side=1)
            x, inside = graph.add("Relu", graph.add("Add", x, y)), planes
        maps.append(x)
    return maps


def _aggregate(
    graph: _Graph, shape: ScrfdShape, maps: list[str], layout: Layout, side: int
) -> list[str]:
    """Feature maps of strides 8, 16 and 32, each with what the others see."""
    neck = shape.neck
    maps = [
        graph.conv(x, inside, neck, side=1)
        for x, inside in zip(maps[1:], shape.planes[1:], strict=True)
    ]
    for level in (1, 0):
        cells = side >> (3 + level)
        larger = _enlarge(graph, maps[level + 1], maps[level], [1, neck, cells, cells], layout)
        maps[level] = graph.add("Add", maps[level], larger)
    maps = [graph.conv(x, neck, neck) for x in maps]
    for level in (1, 2):
        smaller = graph.conv(maps[level - 1], neck, neck, stride=2)
        maps[level] = graph.add("Add", maps[level], smaller)
    return [maps[0], *(graph.conv(x, neck, neck) for x in maps[1:])]


def _enlarge(graph: _Graph, x: str, like: str, baked: list[int], layout: Layout) -> str:
    """Enlarge a feature map to the size of another, as a constant or as the graph finds it."""
    if layout is Layout.BAKED:
        sizes = graph.numbers(*baked)
    else:
        zero, two, four = (graph.numbers(n) for n in (0, 2, 4))
        count = graph.add("Slice", graph.add("Shape", x), zero, two, zero)
        space = graph.add("Slice", graph.add("Shape", like), two, four, zero)
        sizes = graph.add("Concat", count, space, axis=0)
    how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric"}
    none = graph.constant(np.empty(0, np.float32))
    return graph.add("Resize", x, none, none, sizes, nearest_mode="floor", **how)


def _head(graph: _Graph, shape: ScrfdShape, tower: str, k: int, layout: Layout) -> str:
    """One kind of prediction of one stride, two anchors a position."""
    x = graph.conv(tower, shape.tower, 2 * k, gain=_RESIDUAL_GAIN)
    if k == 1:
        x = graph.add("Add", x, graph.constant(np.array([shape.score_bias], np.float32)))
    if layout is Layout.OFFICIAL:
        turned = graph.add("Transpose", x, perm=[2, 3, 0, 1])
        rows = graph.numbers(-1, k)
    else:
        turned = graph.add("Transpose", x, perm=[0, 2, 3, 1])
        rows = graph.numbers(1, -1, k)
    if layout is Layout.BATCH_FIRST:
        zero, one = graph.numbers(0), graph.numbers(1)
        count = graph.add("Slice", graph.add("Shape", x), zero, one, zero)
        rows = graph.add("Concat", count, graph.numbers(-1, k), axis=0)
    x = graph.add("Reshape", turned, rows)
    return graph.add("Sigmoid", x) if k == 1 else x


def iresnet(shape: IResNetShape = IResNetShape()) -> onnx.ModelProto:
    """A recogniser of aligned faces, (N, 3, 112, 112) -> (N, dimension)."""
    graph, inside = _Graph(), shape.planes[0]
    x = graph.prelu(graph.conv("input.1", 3, inside), inside)
    for planes, blocks in zip(shape.planes, shape.blocks, strict=True):
        for block in range(blocks):
            stride = 1 if block else 2
            y = graph.conv(graph.norm(x, inside), inside, planes)
            y = graph.prelu(y, planes)
            y = graph.conv(y, planes, planes, stride=stride, gain=_RESIDUAL_GAIN)
            if stride > 1:
                x = graph.conv(x, inside, planes, side=1, stride=2)
            x, inside = graph.add("Add", x, y), planes
    flat = graph.add("Flatten", graph.norm(x, inside))
    size = inside * 7 * 7
    weight = graph.random(shape.dimension, size, spread=float(size**-0.5))
    x = graph.add("Gemm", flat, weight, graph.random(shape.dimension, spread=0.1), transB=1)
    x = graph.norm(x, shape.dimension)
    faces = helper.make_tensor_value_info("input.1", TensorProto.FLOAT, ["None", 3, 112, 112])
    output = helper.make_tensor_value_info(x, TensorProto.FLOAT, ["None", shape.dimension])
    return graph.model("iresnet", faces, [output])


def gigamacs(model: onnx.ModelProto, **sides: int) -> float:
    """Multiplications of one inference's convolutions and products, in thousand millions.

    All sizes must follow from the input's: not those of a detector that finds them as it runs.
    sides: numbers for the input's open sides, by name.
    """
    model = onnx.ModelProto.FromString(model.SerializeToString())
    for axis in model.graph.input[0].type.tensor_type.shape.dim:
        if not axis.dim_value:
            axis.dim_value = sides.get(axis.dim_param, SIDE)
    del model.graph.output[:]
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {
        value.name: [axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in inferred.value_info
    }
    weights = {weight.name: weight.dims for weight in inferred.initializer}
    total = 0
    for node in inferred.node:
        if node.op_type in ("Conv", "Gemm"):
            out, weight = shapes[node.output[0]], weights[node.input[1]]
            total += int(np.prod(out)) * int(np.prod(weight[1:]))
    return total / 1e9


def write_pack(
    folder: Path, detector: ScrfdShape = ScrfdShape(), recogniser: IResNetShape = IResNetShape()
) -> None:
    """Write both models and the card of the pack into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(scrfd(detector), str(folder / "det_10g.onnx"))
    onnx.save(iresnet(recogniser), str(folder / "w600k_r50.onnx"))
    card = {"name": "random-l", "licence": "random weights", "commercial_use": True}
    (folder / "facepass.json").write_text(json.dumps(card, indent=2) + "\n")


def main() -> None:
    """Write the pack."""
    parser = argparse.ArgumentParser(description="Write a pack of buffalo_l's cost.")
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    write_pack(folder)
    print(f"{folder}: random weights, for measurements of speed alone")


if __name__ == "__main__":
    main()
