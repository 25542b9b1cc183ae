"""The starter engine on real photos: those inside packages, and labelled ones where present."""

import csv
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pytest
from insightface.data import get_image
from skimage import data

from common.config import ImageLimits
from common.vision.images.image import decode, read_header
from common.vision.images.picture import Picture
from common.vision.starter.detector import StarterDetector
from common.vision.starter.engine import StarterEngine, models_folder
from common.vision.starter.mean import MEAN
from common.vision.types import (
    Analysis,
    AnalyzeOptions,
    BgrImage,
    Detail,
    EmbeddingVector,
    Face,
)

T1_PEOPLE = 6


@pytest.fixture(scope="module")
def engine() -> StarterEngine:
    return StarterEngine()


@pytest.fixture(scope="module")
def group() -> BgrImage:
    """Six different people, 1280 x 886."""
    return np.asarray(get_image("t1"), dtype=np.uint8)


@pytest.fixture(scope="module")
def portraits() -> list[BgrImage]:
    """An astronaut (512 x 512) and Tom Hanks (112 x 112)."""
    astronaut = cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2BGR)
    return [np.asarray(astronaut), np.asarray(get_image("Tom_Hanks_54745"), dtype=np.uint8)]


def analyze(engine: StarterEngine, image: BgrImage, detail: Detail = Detail.STANDARD) -> Analysis:
    return engine.analyze(Picture.of(image), AnalyzeOptions(detail=detail))


def embeddings(faces: Sequence[Face]) -> list[EmbeddingVector]:
    return [face.embedding for face in faces if face.embedding is not None]


def by_place(analysis: Analysis) -> list[EmbeddingVector]:
    return embeddings(sorted(analysis.faces, key=lambda face: face.detection.box.x))


def tilted(image: BgrImage, degrees: float) -> BgrImage:
    height, width = image.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    turned = cv2.warpAffine(image, turn, (width, height), borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(turned, dtype=np.uint8)


def darkened(image: BgrImage) -> BgrImage:
    return np.asarray(image * 0.45, dtype=np.uint8)


def compressed(image: BgrImage) -> BgrImage:
    _, content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 30])
    return np.asarray(cv2.imdecode(content, cv2.IMREAD_COLOR), dtype=np.uint8)


def shrunk(image: BgrImage) -> BgrImage:
    small = cv2.resize(image, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.uint8)


def blurred(image: BgrImage) -> BgrImage:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 1.5), dtype=np.uint8)


VARIATIONS: list[Callable[[BgrImage], BgrImage]] = [darkened, compressed, shrunk, blurred]


def test_pack_describes_itself(engine: StarterEngine) -> None:
    pack = engine.pack
    assert pack.engine == "starter"
    assert pack.commercial_use
    assert pack.dimension == len(embeddings(analyze(engine, np.asarray(get_image("t1"))).faces)[0])
    assert 0 < pack.min_similarity < pack.confident_similarity < 1


def test_six_people_are_found_once_each_and_told_apart(
    engine: StarterEngine, group: BgrImage
) -> None:
    analysis = analyze(engine, group)
    vectors = embeddings(analysis.faces)
    assert len(analysis.faces) == len(vectors) == T1_PEOPLE
    areas = [face.detection.box.area for face in analysis.faces]
    assert areas == sorted(areas, reverse=True)
    assert max(float(a @ b) for a, b in combinations(vectors, 2)) < engine.pack.min_similarity
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_landmarks_are_eyes_image_left_first_nose_and_no_mouth(
    engine: StarterEngine, group: BgrImage
) -> None:
    for image in (group, tilted(group, 14)):
        for face in analyze(engine, image).faces:
            left, right, nose, *mouth = face.detection.landmarks
            assert left[0] < right[0]
            assert nose[1] > (left[1] + right[1]) / 2
            assert np.isnan(mouth).all()
            box = face.detection.box
            inside = (face.detection.landmarks[:3] - (box.x, box.y)) / (box.width, box.height)
            assert ((inside > 0) & (inside < 1)).all()


@pytest.mark.parametrize("change", VARIATIONS)
def test_people_are_recognised_in_worse_photos(
    engine: StarterEngine,
    group: BgrImage,
    portraits: list[BgrImage],
    change: Callable[[BgrImage], BgrImage],
) -> None:
    for image in (group, *portraits[:1]):
        before, after = by_place(analyze(engine, image)), by_place(analyze(engine, change(image)))
        assert len(before) == len(after)
        similarities = np.array(before) @ np.array(after).T
        own = np.diag(similarities)
        others = similarities - 2 * np.eye(len(similarities))
        assert own.min() > engine.pack.min_similarity > others.max()


@pytest.mark.parametrize("degrees", [-15, 15])
def test_tilted_people_are_found(engine: StarterEngine, group: BgrImage, degrees: float) -> None:
    upright = np.array(embeddings(analyze(engine, group).faces))
    turned = np.array(embeddings(analyze(engine, tilted(group, degrees)).faces))
    # Turning cuts the corners off: those who stay in the picture are found.
    best = (turned @ upright.T).max(axis=1)
    assert len(turned) >= T1_PEOPLE - 1
    assert best.min() > engine.pack.min_similarity


def test_a_face_that_fills_the_frame_is_found(
    engine: StarterEngine, group: BgrImage, portraits: list[BgrImage]
) -> None:
    for image in (group, portraits[0]):
        for face in analyze(engine, image).faces:
            if face.embedding is None:
                continue
            box = face.detection.box
            top, left = max(int(box.y - 0.15 * box.height), 0), max(int(box.x), 0)
            tight = image[top : int(box.y + box.height), left : int(box.x + box.width)]
            selfie = cv2.resize(tight, None, fx=6, fy=6, interpolation=cv2.INTER_CUBIC)
            found = embeddings(analyze(engine, np.asarray(selfie, dtype=np.uint8)).faces)
            assert [float(v @ face.embedding) > engine.pack.min_similarity for v in found] == [True]


def test_more_detail_finds_smaller_faces(engine: StarterEngine, group: BgrImage) -> None:
    height, width = group.shape[:2]
    wide = np.full((3 * height, 3 * width, 3), 90, dtype=np.uint8)
    wide[height : 2 * height, width : 2 * width] = group
    standard = len(embeddings(analyze(engine, wide).faces))
    high = len(embeddings(analyze(engine, wide, Detail.HIGH).faces))
    assert standard < high == T1_PEOPLE


def test_mean_is_that_of_the_eight_people(
    engine: StarterEngine, group: BgrImage, portraits: list[BgrImage]
) -> None:
    detector = StarterDetector(models_folder())
    descriptors = [
        engine.describe(np.ascontiguousarray(image[:, :, ::-1]), face)
        for image in (group, *portraits)
        for face in detector.find(image, Detail.STANDARD)
        if face.detection.score >= 0.5
    ]
    assert len(descriptors) == 8
    mean = np.mean(descriptors, axis=0)
    assert float(MEAN @ mean / np.linalg.norm(MEAN) / np.linalg.norm(mean)) > 0.999


def test_labelled_people_are_matched_and_nobody_else(
    engine: StarterEngine, photos_dir: Path
) -> None:
    known: list[tuple[str, EmbeddingVector]] = []
    with (photos_dir / "labels.csv").open() as labels:
        alone = [row for row in csv.DictReader(labels) if row["faces"] == "1"]
    for row in alone:
        content = (photos_dir / row["photo"]).read_bytes()
        limits = ImageLimits()
        image = decode(content, read_header(content, limits, max_bytes=limits.max_photo_bytes))
        found = embeddings(analyze(engine, image).faces)
        known += [(row["people"], vector) for vector in found[:1]]
    genuine = [float(a @ b) for (p, a), (q, b) in combinations(known, 2) if p == q]
    impostor = [float(a @ b) for (p, a), (q, b) in combinations(known, 2) if p != q]
    # HOG is honest about small and turned faces, but these are clear ones.
    assert len(known) >= 0.9 * len(alone)
    assert min(genuine) > engine.pack.min_similarity > max(impostor)
