"""The onnx engine gives insightface's faces: same bytes, same pack, `det_size=(640, 640)`."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import insightface
import numpy as np
import onnxruntime
import pytest
import skimage.data
from insightface.app import FaceAnalysis
from numpy.typing import NDArray

from common.config import EngineSettings, ImageLimits
from common.vision.engine import Engine
from common.vision.engines import load_engine
from common.vision.images.image import decode, read_header
from common.vision.images.picture import Picture
from common.vision.types import AnalyzeOptions, BgrImage, Box, Face, QualityFilter

PACKS = ["scrfd25g-mbf128", "scrfd500m-mbf128"]
EVERYTHING = AnalyzeOptions(quality_filter=QualityFilter.NONE, max_faces=1000)


class Pair:
    """FacePass and insightface with one pack."""

    def __init__(self, folder: Path) -> None:
        settings = EngineSettings(kind="onnx", pack=str(folder), providers=["CPUExecutionProvider"])
        self.engine: Engine = load_engine(settings)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.reference = FaceAnalysis(
            name=str(folder),
            allowed_modules=["detection", "recognition"],
            providers=["CPUExecutionProvider"],
            sess_options=options,
        )
        self.reference.prepare(ctx_id=-1, det_size=(640, 640))

    def compare(self, content: bytes) -> list[float]:
        """Similarities of all of insightface's faces of score >= 0.6 to ours at their place."""
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        with warnings.catch_warnings():  # insightface calls a method that scikit-image gives up
            warnings.simplefilter("ignore", FutureWarning)
            theirs = [face for face in self.reference.get(image) if face.det_score >= 0.6]
        ours = list(self.engine.analyze(Picture.of(read(content)), EVERYTHING).faces)
        return [similarity(face, ours) for face in theirs]


def read(content: bytes) -> BgrImage:
    return decode(content, read_header(content, ImageLimits(), max_bytes=len(content)))


def similarity(theirs: Any, ours: list[Face]) -> float:
    best = max(ours, key=lambda face: iou(theirs.bbox, face.detection.box))
    assert iou(theirs.bbox, best.detection.box) >= 0.5
    assert best.embedding is not None
    assert best.detection.score == pytest.approx(theirs.det_score, abs=0.03)
    return float(best.embedding @ theirs.normed_embedding)


def iou(corners: NDArray[np.float32], box: Box) -> float:
    left, top, right, bottom = map(float, corners)
    width = min(right, box.x + box.width) - max(left, box.x)
    height = min(bottom, box.y + box.height) - max(top, box.y)
    common = max(width, 0.0) * max(height, 0.0)
    return common / ((right - left) * (bottom - top) + box.area - common)


@pytest.fixture(scope="module", params=PACKS)
def pair(request: pytest.FixtureRequest, packs_dir: Path) -> Iterator[Pair]:
    folder = packs_dir / str(request.param)
    if not folder.is_dir():
        pytest.skip(f"needs the pack {folder}")
    yield Pair(folder)


def check(similarities: list[float]) -> None:
    # Where no black follows the photo, landmarks move a little, most of all at its edges.
    assert min(similarities) >= 0.97
    assert np.median(similarities) >= 0.9999


def test_photos_in_packages(pair: Pair) -> None:
    group = Path(insightface.__file__).parent / "data" / "images" / "t1.jpg"
    portrait = cv2.imencode(".png", skimage.data.astronaut()[:, :, ::-1])[1].tobytes()
    similarities = pair.compare(group.read_bytes()) + pair.compare(portrait)
    assert len(similarities) == 7
    check(similarities)


def test_real_photos(pair: Pair, photos_dir: Path) -> None:
    photos = sorted(path for path in photos_dir.iterdir() if path.suffix in (".jpg", ".png"))
    similarities = [value for path in photos for value in pair.compare(path.read_bytes())]
    assert len(similarities) >= len(photos)
    check(similarities)
