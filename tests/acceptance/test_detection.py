"""The onnx engine finds small, middling and frame-filling faces, each once, at the right place."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import skimage.data
from insightface.data import get_image
from insightface.model_zoo import get_model

from common.config import EngineSettings, ImageLimits
from common.vision.engine import Engine
from common.vision.engines import load_engine
from common.vision.faces.detector import CLOSE_SIDE, WHOLE_SIDE, FaceDetector
from common.vision.images.image import decode, read_header
from common.vision.images.picture import Picture
from common.vision.onnx.models import detectors_of
from common.vision.onnx.scrfd import detector_at
from common.vision.types import AnalyzeOptions, BgrImage, Box, Detail, Face, FaceReason

PACKS = ["scrfd25g-mbf128", "scrfd500m-mbf128"]
STANDARD, HIGH = AnalyzeOptions(), AnalyzeOptions(detail=Detail.HIGH)
# Faces of the two photos that ship in packages, by hand.
GROUP = [
    Box(745, 339, 100, 141),
    Box(465, 265, 108, 151),
    Box(58, 262, 110, 133),
    Box(1131, 271, 94, 127),
    Box(904, 54, 109, 150),
    Box(269, 147, 102, 118),
]
PORTRAIT = Box(180, 56, 90, 123)


@dataclass(frozen=True, slots=True)
class Shot:
    """A photo and the one face that is looked at."""

    image: BgrImage
    box: Box


def shots() -> list[Shot]:
    group, portrait = get_image("t1"), skimage.data.astronaut()[:, :, ::-1]
    return [*(Shot(group, box) for box in GROUP), Shot(np.ascontiguousarray(portrait), PORTRAIT)]


def pack_folder(packs_dir: Path, name: str) -> Path:
    folder = packs_dir / name
    if not folder.is_dir():
        pytest.skip(f"needs the pack {folder}")
    return folder


def load(folder: Path) -> Engine:
    settings = EngineSettings(kind="onnx", pack=str(folder), providers=["CPUExecutionProvider"])
    return load_engine(settings)


@pytest.fixture(scope="module", params=PACKS)
def engine(request: pytest.FixtureRequest, packs_dir: Path) -> Engine:
    return load(pack_folder(packs_dir, str(request.param)))


@pytest.fixture(scope="module")
def photos(photos_dir: Path) -> dict[str, tuple[BgrImage, int]]:
    """Photo -> upright pixels, number of faces."""
    with (photos_dir / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        row["photo"]: (read((photos_dir / row["photo"]).read_bytes()), int(row["faces"]))
        for row in rows
    }


def read(content: bytes) -> BgrImage:
    return decode(content, read_header(content, ImageLimits(), max_bytes=len(content)))


def common(a: Box, b: Box) -> float:
    width = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
    height = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
    return max(width, 0.0) * max(height, 0.0)


def iou(a: Box, b: Box) -> float:
    return common(a, b) / (a.area + b.area - common(a, b))


def assert_each_once(faces: Sequence[Face]) -> None:
    for a, b in combinations([face.detection.box for face in faces], 2):
        assert iou(a, b) <= 0.4
        assert common(a, b) <= 0.7 * min(a.area, b.area)


def test_labelled_photos(engine: Engine, photos: dict[str, tuple[BgrImage, int]]) -> None:
    wrong = {}
    for name, (image, labelled) in photos.items():
        faces = engine.analyze(Picture.of(image), STANDARD).faces
        assert_each_once(faces)
        # All faces of these photos are clear: none may be left out.
        if sum(face.embedding is not None for face in faces) != labelled:
            wrong[name] = [(face.detection.box, face.reasons) for face in faces]
    assert not wrong


@pytest.mark.parametrize("name", ["obama_5.jpg", "obama_biden_1.jpg", "lacamoire_2.jpg"])
def test_high_detail_adds_nothing_where_all_is_found(
    engine: Engine, photos: dict[str, tuple[BgrImage, int]], name: str
) -> None:
    image, labelled = photos[name]
    standard, high = (
        engine.analyze(Picture.of(image), options).faces for options in (STANDARD, HIGH)
    )
    assert [face.detection.box for face in high] == [face.detection.box for face in standard]
    assert len(high) == labelled


def test_a_selfie_that_fills_the_frame(
    engine: Engine, photos: dict[str, tuple[BgrImage, int]]
) -> None:
    image, _ = photos["lennon_1.jpg"]
    (face,) = engine.analyze(Picture.of(image), STANDARD).faces
    assert face.detection.box.height > 0.85 * image.shape[0]


@pytest.mark.parametrize("share", [0.6, 0.7, 0.8, 0.9, 0.95])
def test_faces_that_fill_the_frame(engine: Engine, share: float) -> None:
    for shot in shots():
        close = cropped(shot, share)
        (face,) = engine.analyze(Picture.of(close.image), STANDARD).faces
        assert iou(face.detection.box, close.box) > 0.6
        assert face.embedding is not None


def cropped(shot: Shot, share: float) -> Shot:
    """Cut a square out of the photo, enlarged like a selfie, of which the face is high `share`."""
    box, side = shot.box, round(shot.box.height / share)
    left = min(max(round(box.x + box.width / 2 - side / 2), 0), shot.image.shape[1] - side)
    top = min(max(round(box.y + box.height / 2 - side / 2), 0), shot.image.shape[0] - side)
    cut = shot.image[top : top + side, left : left + side]
    scale = 1200 / side
    image = cv2.resize(cut, (1200, 1200), interpolation=cv2.INTER_CUBIC)
    place = ((box.x - left) * scale, (box.y - top) * scale)
    return Shot(np.asarray(image, np.uint8), Box(*place, box.width * scale, box.height * scale))


def test_faces_that_fill_the_frame_are_seen_by_the_second_scale_alone(packs_dir: Path) -> None:
    """What the close canvas is there for: the whole-image canvas, alone, misses these."""
    folder = pack_folder(packs_dir, PACKS[0])
    model = get_model(str(folder / "det_2.5g.onnx"), providers=["CPUExecutionProvider"])
    whole = detector_at(model, WHOLE_SIDE)
    shot = cropped(shots()[-1], 0.95)
    canvas = cv2.resize(shot.image, (WHOLE_SIDE, WHOLE_SIDE))
    assert len(whole.detect([canvas])[0]) == 0
    # A graph of one fixed size gets the image in a part of its only canvas.
    for close in (whole, detector_at(model, CLOSE_SIDE)):
        (face,) = FaceDetector(whole, close).find(shot.image, Detail.STANDARD).as_list()
        assert iou(face.box, shot.box) > 0.6


def test_faces_of_40_pixels_in_12_megapixels(packs_dir: Path) -> None:
    engine = load(pack_folder(packs_dir, PACKS[0]))
    image, boxes = crowd(face_height=40)
    standard, high = (engine.analyze(Picture.of(image), options) for options in (STANDARD, HIGH))
    assert standard.faces == ()
    assert len(high.faces) == len(boxes)
    for box in boxes:
        best = max(high.faces, key=lambda face: iou(face.detection.box, box))
        assert iou(best.detection.box, box) > 0.5
        assert best.embedding is not None
    assert_each_once(high.faces)


def crowd(*, face_height: float) -> tuple[BgrImage, list[Box]]:
    """A soft background of 4000 x 3000 pixels with 35 small real faces, and where they are."""
    rng = np.random.default_rng(40)
    clouds = rng.integers(60, 190, (30, 40, 3), dtype=np.uint8)
    image = np.asarray(cv2.resize(clouds, (4000, 3000), interpolation=cv2.INTER_CUBIC), np.uint8)
    boxes = []
    for cell, shot in enumerate(shots() * 5):
        column, row = cell % 7, cell // 7
        scale, box = face_height / shot.box.height, shot.box
        margin = round(box.height * 0.4)
        left, top = max(int(box.x) - margin, 0), max(int(box.y) - margin, 0)
        right, bottom = int(box.x + box.width) + margin, int(box.y + box.height) + margin
        cut = shot.image[top:bottom, left:right]
        small = cv2.resize(cut, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        height, width = small.shape[:2]
        x = column * 570 + int(rng.integers(0, 570 - width))
        y = row * 600 + int(rng.integers(0, 600 - height))
        image[y : y + height, x : x + width] = small
        place = (x + (box.x - left) * scale, y + (box.y - top) * scale)
        boxes.append(Box(*place, box.width * scale, box.height * scale))
    return image, boxes


def test_official_interleaved_heads(packs_dir: Path, tmp_path: Path) -> None:
    """The layout of the buffalo packs: rank 2 heads, the batch between position and anchor."""
    original = pack_folder(packs_dir, PACKS[0]) / "det_2.5g.onnx"
    official = tmp_path / "det_2.5g.onnx"
    interleave_heads(original, official)
    image = get_image("t1")
    expected, found = (
        FaceDetector(*detectors_of(get_model(str(path), providers=["CPUExecutionProvider"])))
        .find(image, Detail.STANDARD)
        .as_list()
        for path in (original, official)
    )
    assert len(expected) == len(GROUP)
    assert [face.box for face in found] == [face.box for face in expected]


def interleave_heads(source: Path, target: Path) -> None:
    """Give the heads the order (2, 3, 0, 1) and shape (-1, k), and leave the input's sides open."""
    model = onnx.load(str(source))
    for node in model.graph.node:
        if node.op_type == "Transpose":
            del node.attribute[:]
            node.attribute.append(onnx.helper.make_attribute("perm", [2, 3, 0, 1]))
    reshapes = [node for node in model.graph.node if node.op_type == "Reshape"]
    for node, k in zip(reshapes, [1, 4, 10] * 3, strict=True):
        node.input[1] = f"rows_of_{k}"
    for k in (1, 4, 10):
        rows = np.array([-1, k], np.int64)
        model.graph.initializer.append(onnx.numpy_helper.from_array(rows, f"rows_of_{k}"))
    for axis in model.graph.input[0].type.tensor_type.shape.dim[2:]:
        axis.dim_param = "?"
    for output in model.graph.output:
        del output.type.tensor_type.shape.dim[0]
    onnx.save(model, str(target))


def test_reasons_leave_faces_without_embedding(engine: Engine) -> None:
    blurred = cv2.GaussianBlur(get_image("t1"), (0, 0), 5)
    faces = engine.analyze(Picture.of(np.asarray(blurred, np.uint8)), STANDARD).faces
    for face in faces:
        assert (face.embedding is None) == bool(face.reasons)
    sharp = engine.analyze(Picture.of(get_image("t1")), AnalyzeOptions(max_faces=4)).faces
    assert [face.reasons for face in sharp[4:]] == [(FaceReason.EXCEEDS_MAX_FACES,)] * 2
    for face in sharp[:4]:
        assert face.embedding is not None
        assert face.embedding.shape == (engine.pack.dimension,)
        assert np.linalg.norm(face.embedding) == pytest.approx(1, abs=1e-5)
