"""The onnx engine on a tiny pack in InsightFace's form, whose faces are white squares."""

import time
from collections import Counter
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from square_pack import (
    CELL,
    DIMENSION,
    LANDMARKS,
    squares,
    write_detector,
    write_recogniser,
    write_square_pack,
)

from common.config import EngineSettings
from common.errors import PackUnavailable
from common.vision.engine import Engine, NobodyWaits
from common.vision.engines import load_engine
from common.vision.images.picture import Picture
from common.vision.types import AnalyzeOptions, BgrImage, Detail, FaceReason, QualityFilter

EVERYTHING = AnalyzeOptions(quality_filter=QualityFilter.NONE)


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    return write_square_pack(tmp_path / "squares")


def load(folder: Path) -> Engine:
    return load_engine(settings(folder))


def settings(folder: Path, detect_batch: int = 0) -> EngineSettings:
    return EngineSettings(
        pack=str(folder), providers=["CPUExecutionProvider"], detect_batch=detect_batch
    )


def test_faces_are_found_and_embedded(pack: Path) -> None:
    engine = load(pack)
    cells = [(3, 4), (12, 9), (16, 17)]
    analysis = engine.analyze(Picture.of(squares(*cells)), EVERYTHING)
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


@pytest.mark.parametrize("detect_batch", [1, 2])
@pytest.mark.parametrize(("height", "width"), [(330, 640), (640, 200), (640, 33), (32, 640)])
def test_faces_are_where_they_are_in_photos_of_any_shape(
    pack: Path, height: int, width: int, detect_batch: int
) -> None:
    engine = load_engine(settings(pack, detect_batch))
    last = (width // CELL - 1, height // CELL - 1)
    photo = squares((0, 0), last)[:height, :width]
    found = [face.detection.box for face in engine.analyze(Picture.of(photo), EVERYTHING).faces]
    expected = {((x - 0.5) * CELL, (y - 0.5) * CELL) for x, y in [(0, 0), last]}
    assert {(box.x, box.y) for box in found} == expected


def test_a_face_is_embedded_alike_whoever_is_beside_it(pack: Path) -> None:
    engine = load(pack)
    alone = engine.analyze(Picture.of(squares((3, 4))), EVERYTHING).faces[0]
    for face in engine.analyze(Picture.of(squares((3, 4), (12, 9), (16, 17))), EVERYTHING).faces:
        assert face.embedding is not None
        assert alone.embedding is not None
        similarity = float(face.embedding @ alone.embedding)
        assert (similarity > 0.99999) == (face.detection.box == alone.detection.box)


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_recognisers_of_fixed_batch_give_the_same_embeddings(pack: Path, batch: int) -> None:
    image = squares((3, 4), (12, 9), (16, 17))
    expected = load(pack).analyze(Picture.of(image), EVERYTHING).faces
    write_recogniser(pack / "rec.onnx", batch=batch)
    for face, other in zip(
        load(pack).analyze(Picture.of(image), EVERYTHING).faces, expected, strict=True
    ):
        assert face.embedding is not None
        assert other.embedding is not None
        np.testing.assert_allclose(face.embedding, other.embedding, atol=1e-6)


def test_faces_in_one_line_have_no_embedding(pack: Path) -> None:
    line = np.column_stack([np.arange(5.0), np.arange(5.0)]).astype(np.float32) / 5
    write_detector(pack / "det.onnx", landmarks=line)
    (face,) = load(pack).analyze(Picture.of(squares((3, 4))), EVERYTHING).faces
    assert face.reasons == (FaceReason.EXTREME_POSE,)
    assert face.embedding is None


def test_burnt_out_faces_are_not_embedded(pack: Path) -> None:
    image = np.full((640, 640, 3), 255, np.uint8)
    faces = (
        load(pack)
        .analyze(Picture.of(image), AnalyzeOptions(quality_filter=QualityFilter.LOW))
        .faces
    )
    assert faces
    assert all(FaceReason.HIGH_BRIGHTNESS in face.reasons for face in faces)
    assert all(face.embedding is None for face in faces)


def test_high_detail_finds_what_is_small_in_a_large_photo(pack: Path) -> None:
    image = np.zeros((1500, 2000, 3), np.uint8)
    tile_scale = 0.8
    image[400:440, 1200:1240] = 255  # 32 pixels in a tile, at a cell of the tile's own grid or not
    engine = load(pack)
    assert engine.analyze(Picture.of(image), EVERYTHING).faces == ()
    faces = engine.analyze(Picture.of(image), AnalyzeOptions(Detail.HIGH, QualityFilter.NONE)).faces
    for face in faces:
        box = face.detection.box
        assert box.width == pytest.approx(2 * CELL / tile_scale, rel=1e-3)
        assert abs(box.x + box.width / 2 - 1220) < CELL / tile_scale
        assert abs(box.y + box.height / 2 - 420) < CELL / tile_scale
    assert faces


class Decoder:
    """A photo of 3200 x 2400 pixels with one face of 160; counts how it is decoded."""

    def __init__(self) -> None:
        # Not quite white: of a crop that is, the recogniser makes no numbers.
        image = np.minimum(squares((3, 4)), 250).astype(np.uint8)
        image = cv2.resize(image, (3200, 3200), interpolation=cv2.INTER_NEAREST)
        self.image = np.ascontiguousarray(image[:2400], np.uint8)
        self.asked: list[int] = []

    def __call__(self, divisor: int) -> BgrImage:
        self.asked.append(divisor)
        time.sleep(0.05)
        size = (3200 // divisor, 2400 // divisor)
        shrunk = cv2.resize(self.image, size, interpolation=cv2.INTER_AREA)
        return np.asarray(shrunk, np.uint8)

    def picture(self) -> Picture:
        return Picture(3200, 2400, self, (1, 2, 4, 8))


@pytest.mark.parametrize(
    ("face_share", "detail", "asked"),
    [
        pytest.param(1.0, Detail.STANDARD, [2], id="a large face is seen in the shrunk photo"),
        pytest.param(0.2, Detail.STANDARD, [2, 1], id="a small one needs every pixel"),
        pytest.param(1.0, Detail.HIGH, [1], id="high detail is given every pixel"),
    ],
)
def test_large_photos_are_decoded_as_faces_need(
    pack: Path, face_share: float, detail: Detail, asked: list[int]
) -> None:
    """face_share: how large the landmarks say that the face is."""
    centre = LANDMARKS.mean(axis=0)
    write_detector(pack / "det.onnx", landmarks=centre + face_share * (LANDMARKS - centre))
    engine, decoder = load(pack), Decoder()
    options = AnalyzeOptions(detail, QualityFilter.NONE)
    analysis = engine.analyze(decoder.picture(), options)
    assert decoder.asked == asked
    assert (analysis.width, analysis.height) == (3200, 2400)
    expected = engine.analyze(Picture.of(decoder.image), options).faces
    assert expected
    for face, other in zip(analysis.faces, expected, strict=True):
        assert face.detection.box == other.detection.box
        assert face.embedding is not None
        assert other.embedding is not None
        assert face.embedding @ other.embedding > 0.99


def test_faces_that_get_no_template_need_no_pixels(pack: Path) -> None:
    centre = LANDMARKS.mean(axis=0)
    write_detector(pack / "det.onnx", landmarks=centre + 0.2 * (LANDMARKS - centre), sure=0.6)
    decoder = Decoder()
    options = AnalyzeOptions(quality_filter=QualityFilter.HIGH)
    faces = load(pack).analyze(decoder.picture(), options).faces
    assert decoder.asked == [2]
    assert all(FaceReason.LOW_CONFIDENCE in face.reasons for face in faces)
    assert faces


def test_decoding_counts_as_decoding_alone(pack: Path) -> None:
    centre = LANDMARKS.mean(axis=0)
    write_detector(pack / "det.onnx", landmarks=centre + 0.2 * (LANDMARKS - centre))
    engine, picture = load(pack), Decoder().picture()
    started = time.perf_counter()
    timings = engine.analyze(picture, EVERYTHING).timings
    spent_ms = (time.perf_counter() - started) * 1000
    assert picture.decode_s >= 0.1
    assert picture.decode_s * 1000 + timings.detect_ms + timings.embed_ms <= spent_ms


def test_an_image_can_be_given_up_between_its_stages(pack: Path) -> None:
    engine = load(pack)
    six = squares((2, 3), (6, 3), (10, 3), (2, 12), (6, 12), (10, 12))
    large = np.zeros((1500, 2000, 3), np.uint8)
    for image, detail in ((six, Detail.STANDARD), (large, Detail.HIGH)):
        options = AnalyzeOptions(detail, QualityFilter.NONE)
        passed = Counter[str]()
        engine.analyze(Picture.of(image), options, partial(passed.update, ["once"]))
        # Before each batch of faces, or of tiles.
        assert passed["once"] >= 2
    with pytest.raises(NobodyWaits):
        engine.analyze(Picture.of(six), EVERYTHING, refuse)


def refuse() -> None:
    raise NobodyWaits


def test_images_without_faces_are_no_error(pack: Path) -> None:
    engine = load(pack)
    for shape in [(640, 640, 3), (16, 3000, 3), (2000, 17, 3), (1, 1, 3)]:
        image = np.zeros(shape, np.uint8)
        for detail in Detail:
            assert engine.analyze(Picture.of(image), AnalyzeOptions(detail=detail)).faces == ()


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
