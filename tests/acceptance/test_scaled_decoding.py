"""Photos of 12 megapixels, decoded shrunk where that is enough: the faces of full decoding."""

import csv
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pytest
from insightface.data import get_image

from common.config import EngineSettings, ImageLimits
from common.vision.engine import Engine
from common.vision.engines import load_engine
from common.vision.images.picture import Picture
from common.vision.types import (
    Analysis,
    AnalyzeOptions,
    BgrImage,
    Box,
    Detail,
    EmbeddingVector,
    Face,
    QualityFilter,
)
from common.vision.workers import worker
from common.vision.workers.messages import Task

PACKS = ["scrfd25g-mbf128", "scrfd500m-mbf128"]
WIDTH, HEIGHT = 4000, 3000
STANDARD, HIGH = AnalyzeOptions(), AnalyzeOptions(detail=Detail.HIGH)
LIMITS = ImageLimits()


@pytest.fixture(scope="module", params=PACKS)
def engine(request: pytest.FixtureRequest, packs_dir: Path) -> Engine:
    folder = packs_dir / str(request.param)
    if not folder.is_dir():
        pytest.skip(f"needs the pack {folder}")
    settings = EngineSettings(kind="onnx", pack=str(folder), providers=["CPUExecutionProvider"])
    return load_engine(settings)


def group(width: int) -> bytes:
    """A photo of six people, `width` pixels wide, in the middle of one of 12 megapixels."""
    people = get_image("t1")
    scale = width / people.shape[1]
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    people = cv2.resize(people, None, fx=scale, fy=scale, interpolation=interpolation)
    canvas = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    top, left = (HEIGHT - people.shape[0]) // 2, (WIDTH - people.shape[1]) // 2
    canvas[top : top + people.shape[0], left : left + people.shape[1]] = people
    return jpeg(canvas)


def jpeg(image: BgrImage) -> bytes:
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes()


def opened(content: bytes) -> Picture:
    return Picture.open(content, LIMITS, max_bytes=len(content))


def in_full(content: bytes) -> Picture:
    picture = opened(content)
    picture.view()
    return picture


def embedded(faces: Sequence[Face]) -> list[Face]:
    return [face for face in faces if face.embedding is not None]


def compare(found: Analysis, expected: Analysis) -> list[float]:
    """Similarities of the same faces, which have to be at the same places."""
    assert (found.width, found.height) == (expected.width, expected.height)
    assert len(found.faces) == len(expected.faces)
    similarities = []
    for face in embedded(expected.faces):
        other = max(found.faces, key=lambda each: iou(each.detection.box, face.detection.box))
        assert iou(other.detection.box, face.detection.box) > 0.8
        assert face.embedding is not None
        assert other.embedding is not None
        similarities.append(float(face.embedding @ other.embedding))
    return similarities


def iou(a: Box, b: Box) -> float:
    width = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
    height = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
    common = max(width, 0.0) * max(height, 0.0)
    return common / (a.area + b.area - common)


def test_large_faces_are_found_alike_in_half_the_pixels(engine: Engine) -> None:
    content = group(width=WIDTH)
    picture = opened(content)
    similarities = compare(
        engine.analyze(picture, STANDARD), engine.analyze(in_full(content), STANDARD)
    )
    assert picture.view(0.1).scale == 0.5
    assert len(similarities) == 6
    assert min(similarities) > 0.97


def test_small_faces_get_the_pixels_that_the_photo_has(engine: Engine) -> None:
    content = group(width=1800)
    picture = opened(content)
    similarities = compare(
        engine.analyze(picture, STANDARD), engine.analyze(in_full(content), STANDARD)
    )
    assert picture.view(0.1).scale == 1
    assert len(similarities) == 6
    assert min(similarities) > 0.9


def test_quality_is_measured_on_pixels_enough(engine: Engine) -> None:
    for width in (1000, 1800, 2600, WIDTH):
        content = group(width)
        everything = AnalyzeOptions(quality_filter=QualityFilter.NONE)
        shrunk = engine.analyze(opened(content), everything).faces
        whole = engine.analyze(in_full(content), everything).faces
        for face, other in zip(shrunk, whole, strict=True):
            for figure in ("sharpness", "brightness", "score"):
                off = getattr(face.quality, figure) - getattr(other.quality, figure)
                assert abs(off) < 0.15, (width, figure)


def test_high_detail_sees_every_pixel(engine: Engine) -> None:
    content = group(width=1000)
    picture = opened(content)
    found = engine.analyze(picture, HIGH)
    assert picture.view(0.1).scale == 1
    assert all(
        similarity > 0.9999 for similarity in compare(found, engine.analyze(in_full(content), HIGH))
    )


def test_photos_of_every_orientation_have_their_faces_in_the_same_places(engine: Engine) -> None:
    upright = cv2.resize(get_image("t1"), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    lying = np.asarray(cv2.rotate(upright, cv2.ROTATE_90_COUNTERCLOCKWISE), np.uint8)
    content = jpeg(lying)
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    turned = content[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + content[2:]
    picture = opened(turned)
    found = engine.analyze(picture, STANDARD)
    assert picture.view(0.1).scale == 0.5
    expected = engine.analyze(Picture.of(np.asarray(upright, np.uint8)), STANDARD)
    assert min(compare(found, expected)) > 0.97


def test_all_decoding_is_told_as_decoding(engine: Engine) -> None:
    """A photo with small faces is decoded twice, and costs more than the first time alone."""
    content = group(width=1800)
    first = opened(content)
    first.view(0.5)
    answer = worker._answer(engine, LIMITS, Task(1, content, STANDARD, len(content)))
    assert isinstance(answer, Analysis)
    assert answer.timings.decode_ms > 1.2 * first.decode_s * 1000


@pytest.mark.photos
def test_people_are_told_apart_in_shrunk_photos(engine: Engine, photos_dir: Path) -> None:
    """Labelled photos of one person each, enlarged to what a camera would give."""
    known: list[tuple[str, EmbeddingVector]] = []
    with (photos_dir / "labels.csv").open(newline="") as labels:
        alone = [row for row in csv.DictReader(labels) if row["faces"] == "1"]
    for row in alone:
        image = cv2.imread(str(photos_dir / row["photo"]))
        assert image is not None
        scale = WIDTH / max(image.shape[:2])
        size = (round(image.shape[1] * scale / 2) * 2, round(image.shape[0] * scale / 2) * 2)
        large = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)
        picture = opened(jpeg(np.asarray(large, np.uint8)))
        (face,) = embedded(engine.analyze(picture, STANDARD).faces)
        assert picture.view(0.1).scale == 0.5
        assert face.embedding is not None
        known.append((row["people"], face.embedding))
    pairs = [(p == q, float(a @ b)) for (p, a), (q, b) in combinations(known, 2)]
    genuine = [similarity for same, similarity in pairs if same]
    impostor = [similarity for same, similarity in pairs if not same]
    assert min(genuine) > max(impostor)
    assert max(impostor) < engine.pack.min_similarity
