"""The onnx engine on a tiny pack in InsightFace's form, whose faces are white squares."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from common.config import EngineSettings
from common.errors import PackUnavailable
from common.vision.align import ARCFACE_TEMPLATE
from common.vision.engines import load_engine
from common.vision.types import (
    AnalyzeOptions,
    BgrImage,
    Detail,
    Engine,
    FaceReason,
    QualityFilter,
)

CELL = 32
DIMENSION = 8
EVERYTHING = AnalyzeOptions(quality_filter=QualityFilter.NONE)
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
) -> None:
    """Scores how white a cell is, at stride 32 only; box and landmarks are the same everywhere."""
    nodes, constants, outputs = [], [], []
    biases = [[0.45], BOX, landmarks.ravel().tolist()]
    for kind, k in enumerate((1, 4, 10)[: heads // 3]):
        constants.append(tensor(f"shape{k}", [1, rows, k]))
        for stride in (8, 16, 32):
            name = f"{kind}_{stride}"
            weight = np.zeros((2 * k, 3, 1, 1), np.float32)
            bias = np.tile(np.array(biases[kind], np.float32), 2)
            if kind == 0:
                weight[0] = 0.45 / 3 if stride == CELL else 0
                bias = np.array([0.45 if stride == CELL else 0, 0], np.float32)
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
    """Projects a face's coarse pixels by a fixed random matrix."""
    rng = np.random.default_rng(5)
    pixels = 3 * 8 * 8
    matrix = rng.normal(size=(pixels, DIMENSION)).astype(np.float32)
    graph = helper.make_graph(
        nodes=[
            helper.make_node(
                "AveragePool", ["face"], ["coarse"], kernel_shape=[14, 14], strides=[14, 14]
            ),
            helper.make_node("Flatten", ["coarse"], ["flat"]),
            helper.make_node("MatMul", ["flat", "matrix"], ["embedding"]),
        ],
        name="recogniser",
        inputs=[helper.make_tensor_value_info("face", TensorProto.FLOAT, [batch, 3, 112, 112])],
        outputs=[helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [batch, DIMENSION])],
        initializer=[tensor("matrix", matrix)],
    )
    save(path, graph)


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    folder = tmp_path / "squares"
    folder.mkdir()
    write_detector(folder / "det.onnx")
    write_recogniser(folder / "rec.onnx")
    return folder


def load(folder: Path) -> Engine:
    return load_engine(settings(folder))


def settings(folder: Path) -> EngineSettings:
    return EngineSettings(pack=str(folder), providers=["CPUExecutionProvider"])


def squares(*cells: tuple[int, int], side: int = 640) -> BgrImage:
    """A black image with a face at each cell, each of another pattern around it."""
    image = np.zeros((side, side, 3), np.uint8)
    for n, (column, row) in enumerate(cells):
        y, x = row * CELL, column * CELL
        image[y : y + CELL, x : x + CELL] = 255
        image[y - 8 : y, x : x + 8 * (n + 1)] = 90
    return image


def test_faces_are_found_and_embedded(pack: Path) -> None:
    engine = load(pack)
    cells = [(3, 4), (12, 9), (16, 17)]
    analysis = engine.analyze(squares(*cells), EVERYTHING)
    assert (analysis.width, analysis.height) == (640, 640)
    boxes = {(face.detection.box.x, face.detection.box.y) for face in analysis.faces}
    assert boxes == {((x - 0.5) * CELL, (y - 0.5) * CELL) for x, y in cells}
    assert engine.pack.dimension == DIMENSION
    assert engine.pack.key.startswith("squares@")
    for face in analysis.faces:
        assert face.detection.score == pytest.approx(0.9, abs=0.01)
        assert face.embedding is not None
        assert face.embedding.shape == (DIMENSION,)
        assert face.embedding.dtype == np.float32
        assert np.linalg.norm(face.embedding) == pytest.approx(1, abs=1e-5)
    assert analysis.timings.detect_ms > 0
    assert analysis.timings.embed_ms > 0


@pytest.mark.parametrize(("height", "width"), [(330, 640), (640, 200), (640, 33), (32, 640)])
def test_faces_are_where_they_are_in_photos_of_any_shape(
    pack: Path, height: int, width: int
) -> None:
    engine = load(pack)
    last = (width // CELL - 1, height // CELL - 1)
    photo = squares((0, 0), last)[:height, :width]
    found = [face.detection.box for face in engine.analyze(photo, EVERYTHING).faces]
    expected = {((x - 0.5) * CELL, (y - 0.5) * CELL) for x, y in [(0, 0), last]}
    assert {(box.x, box.y) for box in found} == expected


def test_a_face_is_embedded_alike_whoever_is_beside_it(pack: Path) -> None:
    engine = load(pack)
    alone = engine.analyze(squares((3, 4)), EVERYTHING).faces[0]
    for face in engine.analyze(squares((3, 4), (12, 9), (16, 17)), EVERYTHING).faces:
        assert face.embedding is not None
        assert alone.embedding is not None
        similarity = float(face.embedding @ alone.embedding)
        assert (similarity > 0.99999) == (face.detection.box == alone.detection.box)


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_recognisers_of_fixed_batch_give_the_same_embeddings(pack: Path, batch: int) -> None:
    image = squares((3, 4), (12, 9), (16, 17))
    expected = load(pack).analyze(image, EVERYTHING).faces
    write_recogniser(pack / "rec.onnx", batch=batch)
    for face, other in zip(load(pack).analyze(image, EVERYTHING).faces, expected, strict=True):
        assert face.embedding is not None
        assert other.embedding is not None
        np.testing.assert_allclose(face.embedding, other.embedding, atol=1e-6)


def test_faces_in_one_line_have_no_embedding(pack: Path) -> None:
    line = np.column_stack([np.arange(5.0), np.arange(5.0)]).astype(np.float32) / 5
    write_detector(pack / "det.onnx", landmarks=line)
    (face,) = load(pack).analyze(squares((3, 4)), EVERYTHING).faces
    assert face.reasons == (FaceReason.EXTREME_POSE,)
    assert face.embedding is None


def test_burnt_out_faces_are_not_embedded(pack: Path) -> None:
    image = np.full((640, 640, 3), 255, np.uint8)
    faces = load(pack).analyze(image, AnalyzeOptions(quality_filter=QualityFilter.LOW)).faces
    assert faces
    assert all(FaceReason.HIGH_BRIGHTNESS in face.reasons for face in faces)
    assert all(face.embedding is None for face in faces)


def test_high_detail_finds_what_is_small_in_a_large_photo(pack: Path) -> None:
    image = np.zeros((1500, 2000, 3), np.uint8)
    tile_scale = 0.8
    image[400:440, 1200:1240] = 255  # 32 pixels in a tile, at a cell of the tile's own grid or not
    engine = load(pack)
    assert engine.analyze(image, EVERYTHING).faces == ()
    faces = engine.analyze(image, AnalyzeOptions(Detail.HIGH, QualityFilter.NONE)).faces
    for face in faces:
        box = face.detection.box
        assert box.width == pytest.approx(2 * CELL / tile_scale, rel=1e-3)
        assert abs(box.x + box.width / 2 - 1220) < CELL / tile_scale
        assert abs(box.y + box.height / 2 - 420) < CELL / tile_scale
    assert faces


def test_images_without_faces_are_no_error(pack: Path) -> None:
    engine = load(pack)
    for shape in [(640, 640, 3), (16, 3000, 3), (2000, 17, 3), (1, 1, 3)]:
        image = np.zeros(shape, np.uint8)
        for detail in Detail:
            assert engine.analyze(image, AnalyzeOptions(detail=detail)).faces == ()


def test_an_absent_provider_is_named(pack: Path) -> None:
    wanted = EngineSettings(pack=str(pack), providers=["NoSuchExecutionProvider"])
    with pytest.raises(PackUnavailable, match="NoSuchExecutionProvider"):
        load_engine(wanted)


def test_an_absent_pack_is_named(tmp_path: Path) -> None:
    with pytest.raises(PackUnavailable, match="nowhere"):
        load(tmp_path / "nowhere")


def test_a_detector_without_landmarks_is_refused(pack: Path) -> None:
    write_detector(pack / "det.onnx", heads=6)
    with pytest.raises(PackUnavailable, match="landmarks"):
        load(pack)


def test_a_detector_that_does_not_run_is_refused(pack: Path) -> None:
    write_detector(pack / "det.onnx", rows=7, perm=(0, 3, 2, 1))
    with pytest.raises(PackUnavailable, match=r"det\.onnx"):
        load(pack)


def test_a_graph_that_onnxruntime_refuses_is_named(pack: Path) -> None:
    model = onnx.load(str(pack / "rec.onnx"))
    model.graph.node[0].op_type = "NoSuchOperator"
    onnx.save(model, str(pack / "rec.onnx"))
    with pytest.raises(PackUnavailable, match=r"rec\.onnx"):
        load(pack)
