"""A tiny pack in InsightFace's form, whose faces are white squares, and images of them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from common.vision.faces.align import ARCFACE_TEMPLATE
from common.vision.types import BgrImage

CELL = 32
DIMENSION = 8
BOX = [0.5, 0.5, 1.5, 1.5]  # distances from a cell's upper left, in strides
LANDMARKS: NDArray[np.floating] = ARCFACE_TEMPLATE / 112 * 2 - 0.5


def save(path: Path, graph: onnx.GraphProto) -> None:
    opset = helper.make_opsetid("", 13)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), str(path))


def tensor(name: str, values: NDArray[np.float32] | list[int]) -> onnx.TensorProto:
    kind = np.int64 if isinstance(values, list) else np.float32
    return numpy_helper.from_array(np.asarray(values, kind), name)


def write_detector(
    path: Path,
    *,
    landmarks: NDArray[np.floating] = LANDMARKS,
    heads: int = 9,
    rows: int = -1,
    perm: Sequence[int] = (0, 2, 3, 1),
    sure: float = 0.9,
) -> None:
    """Scores how white a cell is, at stride 32 only; box and landmarks are the same everywhere.

    sure: a white cell's score; a black one's is half of it.
    """
    nodes, constants, outputs = [], [], []
    biases = [[0.0], BOX, landmarks.ravel().tolist()]
    for kind, k in enumerate((1, 4, 10)[: heads // 3]):
        constants.append(tensor(f"shape{k}", [1, rows, k]))
        for stride in (8, 16, 32):
            name = f"{kind}_{stride}"
            weight = np.zeros((2 * k, 3, 1, 1), np.float32)
            bias = np.tile(np.array(biases[kind], np.float32), 2)
            if kind == 0:
                weight[0] = sure / 6 if stride == CELL else 0
                bias = np.array([sure / 2 if stride == CELL else 0, 0], np.float32)
            constants += [tensor(f"w{name}", weight), tensor(f"b{name}", bias)]
            pool = {"kernel_shape": [stride, stride], "strides": [stride, stride]}
            nodes += [
                helper.make_node("AveragePool", ["image"], [f"cell{name}"], **pool),
                helper.make_node("Conv", [f"cell{name}", f"w{name}", f"b{name}"], [f"map{name}"]),
                helper.make_node("Transpose", [f"map{name}"], [f"last{name}"], perm=perm),
                helper.make_node("Reshape", [f"last{name}", f"shape{k}"], [name]),
            ]
            shape = [1, (640 // stride) ** 2 * 2, k]
            outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 640, 640])
    save(path, helper.make_graph(nodes, "detector", [image], outputs, constants))


def write_recogniser(path: Path, *, batch: int | str = "batch") -> None:
    """Projects a face's coarse pixels by a fixed random matrix; of one all in white, gives NaN."""
    rng = np.random.default_rng(5)
    pixels = 3 * 8 * 8
    matrix = rng.normal(size=(pixels, DIMENSION)).astype(np.float32)
    graph = helper.make_graph(
        nodes=[
            helper.make_node(
                "AveragePool", ["face"], ["coarse"], kernel_shape=[14, 14], strides=[14, 14]
            ),
            helper.make_node("Flatten", ["coarse"], ["flat"]),
            helper.make_node("ReduceMean", ["flat"], ["light"], axes=[1], keepdims=1),
            helper.make_node("Sub", ["almost", "light"], ["dark"]),
            helper.make_node("Sqrt", ["dark"], ["root"]),
            helper.make_node("MatMul", ["flat", "matrix"], ["product"]),
            helper.make_node("Mul", ["product", "root"], ["embedding"]),
        ],
        name="recogniser",
        inputs=[helper.make_tensor_value_info("face", TensorProto.FLOAT, [batch, 3, 112, 112])],
        outputs=[helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [batch, DIMENSION])],
        initializer=[tensor("matrix", matrix), tensor("almost", np.array([0.99], np.float32))],
    )
    save(path, graph)


def write_square_pack(folder: Path) -> Path:
    """Both models, in a folder of their own."""
    folder.mkdir()
    write_detector(folder / "det.onnx")
    write_recogniser(folder / "rec.onnx")
    return folder


def squares(*cells: tuple[int, int], side: int = 640) -> BgrImage:
    """A black image with a face at each cell, each of another pattern around it."""
    image = np.zeros((side, side, 3), np.uint8)
    for n, (column, row) in enumerate(cells):
        y, x = row * CELL, column * CELL
        image[y : y + CELL, x : x + CELL] = 255
        image[y - 8 : y, x : x + 8 * (n + 1)] = 90
    return image
