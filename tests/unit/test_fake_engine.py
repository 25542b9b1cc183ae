"""The fake engine reads the pictures that `fake_photo` draws, also after what happens to photos."""

import io
from itertools import combinations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from common.errors import PackUnavailable
from common.vision.fake.engine import FakeEngine
from common.vision.fake.photos import PALETTE, POOR_SHOT, SHOTS, Command, fake_photo
from common.vision.images.picture import Picture
from common.vision.types import (
    Analysis,
    AnalyzeOptions,
    BgrImage,
    EmbeddingVector,
    FaceReason,
    QualityFilter,
)

ENGINE = FakeEngine()
PEOPLE = ENGINE.pack.dimension**2 // 4


def pixels(content: bytes) -> BgrImage:
    image = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    return np.ascontiguousarray(image[:, :, ::-1])


def analyze(content: bytes, options: AnalyzeOptions | None = None) -> Analysis:
    return ENGINE.analyze(Picture.of(pixels(content)), options or AnalyzeOptions())


def embeddings(analysis: Analysis) -> list[EmbeddingVector]:
    return [face.embedding for face in analysis.faces if face.embedding is not None]


@settings(max_examples=30, deadline=None)
@given(
    people=st.lists(st.integers(0, PEOPLE - 1), min_size=1, max_size=5, unique=True),
    shot=st.integers(0, SHOTS - 1),
    quality=st.integers(40, 95),
    scale=st.floats(0.5, 1.5),
)
def test_people_and_shot_survive_compression_and_scaling(
    people: list[int], shot: int, quality: int, scale: float
) -> None:
    image = pixels(fake_photo(people, shot=shot, quality=quality))
    scaled = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    found = embeddings(
        ENGINE.analyze(Picture.of(np.asarray(scaled, dtype=np.uint8)), AnalyzeOptions())
    )
    expected = [ENGINE.embedding(person, shot) for person in people]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
def test_every_format_shows_the_same_people(file_format: str) -> None:
    found = embeddings(analyze(fake_photo([3, 900], file_format=file_format)))
    np.testing.assert_array_equal(found, [ENGINE.embedding(3), ENGINE.embedding(900)])


def test_a_photo_may_show_nobody() -> None:
    assert analyze(fake_photo()).faces == ()


def test_faces_are_where_the_squares_are_largest_first() -> None:
    analysis = analyze(fake_photo([5, 6, 7], size=(800, 600)))
    areas = [face.detection.box.area for face in analysis.faces]
    assert areas == sorted(areas, reverse=True)
    assert (analysis.width, analysis.height) == (800, 600)
    for face in analysis.faces:
        box = face.detection.box
        corner = np.array([box.x, box.y])
        inside = (face.detection.landmarks - corner) / [box.width, box.height]
        assert ((inside > 0) & (inside < 1)).all()


def test_similarities_are_as_documented() -> None:
    people = range(0, PEOPLE, 40)
    assert len(PALETTE) >= PEOPLE
    near = {p: [ENGINE.embedding(p, shot) for shot in range(0, POOR_SHOT, 4)] for p in people}
    same = [float(a @ b) for shots in near.values() for a, b in combinations(shots, 2)]
    others = [
        float(a @ b)
        for p, q in combinations(people, 2)
        for a, b in zip(near[p], near[q], strict=True)
    ]
    poor = [float(near[p][0] @ ENGINE.embedding(p, POOR_SHOT)) for p in people]
    pack = ENGINE.pack
    assert min(same) > pack.confident_similarity
    assert max(others) < 0.4 < pack.min_similarity
    assert pack.min_similarity < min(poor) < max(poor) < pack.confident_similarity
    norms = [float(np.linalg.norm(vector)) for shots in near.values() for vector in shots]
    np.testing.assert_allclose(norms, 1, atol=1e-6)


def test_small_faces_are_refused_unless_everything_is_wanted() -> None:
    photo = fake_photo([1, 2], small=[2])
    large, small = analyze(photo).faces
    assert (large.reasons, small.reasons) == ((), (FaceReason.SMALL_BOX,))
    assert small.embedding is None
    unfiltered = analyze(photo, AnalyzeOptions(quality_filter=QualityFilter.NONE))
    np.testing.assert_array_equal(
        embeddings(unfiltered), [ENGINE.embedding(1), ENGINE.embedding(2)]
    )


def test_only_the_largest_faces_are_embedded() -> None:
    faces = analyze(fake_photo([1, 2, 3]), AnalyzeOptions(max_faces=2)).faces
    assert [face.embedding is None for face in faces] == [False, False, True]
    assert faces[2].reasons == (FaceReason.EXCEEDS_MAX_FACES,)


def test_a_photo_can_make_the_engine_fail() -> None:
    with pytest.raises(RuntimeError):
        analyze(fake_photo([1], command=Command.FAIL))


def test_packs_differ_in_key_and_dimension() -> None:
    small = FakeEngine("fake-small").pack
    assert (small.key, small.dimension) != (ENGINE.pack.key, ENGINE.pack.dimension)
    assert FakeEngine("fake").pack == ENGINE.pack
    with pytest.raises(PackUnavailable, match="no fake pack 'other'"):
        FakeEngine("other")
