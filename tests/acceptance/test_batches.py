"""Real packs give each photo and each face the same in a batch as alone."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import skimage.data
from insightface.data import get_image
from insightface.model_zoo import get_model
from numpy.typing import NDArray

from common.vision.faces.align import align_face
from common.vision.faces.detections import Detections, suppress
from common.vision.images.canvas import fit
from common.vision.onnx.arcface import ArcFace
from common.vision.onnx.scrfd import Scrfd, detector_at
from common.vision.types import BgrImage

pytestmark = pytest.mark.takes(18)

PACKS = ["scrfd25g-mbf128", "scrfd500m-mbf128"]
BATCH = 4


def load(packs_dir: Path, name: str, which: str) -> Any:
    folder = packs_dir / name
    if not folder.is_dir():
        pytest.skip(f"needs the pack {folder}")
    (path,) = folder.glob(f"{which}*.onnx")
    return get_model(str(path), providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def images() -> list[BgrImage]:
    """Five views of two photos."""
    group = get_image("t1")
    portrait = np.ascontiguousarray(skimage.data.astronaut()[:, :, ::-1])
    return [group, portrait, np.ascontiguousarray(group[:, ::-1]), group[:, :640], group // 2]


@pytest.fixture(params=PACKS)
def detector(request: pytest.FixtureRequest, packs_dir: Path) -> Scrfd:
    return detector_at(load(packs_dir, str(request.param), "det"), 640, BATCH)


def assert_same(one: Detections, other: Detections) -> None:
    assert len(one) > 0
    np.testing.assert_allclose(one.scores, other.scores, atol=1e-4)
    np.testing.assert_allclose(one.boxes, other.boxes, atol=0.02)
    np.testing.assert_allclose(one.landmarks, other.landmarks, atol=0.02)


def test_photos_in_any_order(detector: Scrfd, images: list[BgrImage]) -> None:
    assert detector.sizes == [1, BATCH]
    canvases = [fit(image, 640).pixels for image in images]
    alone = [detector.detect([canvas])[0] for canvas in canvases]
    for order in ([0, 1, 2, 3, 4], [4, 2, 0, 3, 1]):
        for i, found in zip(order, detector.detect([canvases[i] for i in order]), strict=True):
            assert_same(found, alone[i])


def test_a_changed_photo_moves_no_other(detector: Scrfd, images: list[BgrImage]) -> None:
    canvases = [fit(image, 640).pixels for image in images[:BATCH]]
    before = detector.detect(canvases)
    canvases[1] = np.zeros_like(canvases[1])
    after = detector.detect(canvases)
    assert len(after[1]) == 0
    for i in (0, 2, 3):
        assert_same(before[i], after[i])


def crops(packs_dir: Path) -> list[NDArray[np.uint8]]:
    """400 aligned faces: those of a group, lit and turned in many ways."""
    detector = detector_at(load(packs_dir, PACKS[0], "det"), 640)
    image = get_image("t1")
    canvas = fit(image, 640)
    found = suppress(detector.detect([canvas.pixels])[0].moved(scale=canvas.scale))
    rng = np.random.default_rng(400)
    faces = []
    for n in range(400):
        landmarks = found.landmarks[n % len(found)] + rng.normal(0, 1.5, (5, 2)).astype(np.float32)
        face = align_face(image, landmarks)
        faces.append(np.asarray(cv2.convertScaleAbs(face, alpha=rng.uniform(0.7, 1.2)), np.uint8))
    return faces


def test_a_crowd_of_faces(packs_dir: Path) -> None:
    model, faces = load(packs_dir, PACKS[0], "mbf"), crops(packs_dir)
    alone = ArcFace(model, [1]).embed(faces)
    for sizes in ([1, 4, 16], range(1, 33)):
        together = ArcFace(model, sizes).embed(faces)
        cosines = [float(a @ b) for a, b in zip(alone, together, strict=True)]
        assert min(cosines) > 0.9999
