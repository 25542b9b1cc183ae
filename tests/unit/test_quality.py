"""Real faces made worse get the reason, and good ones get none."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import skimage.data
from hypothesis import given
from hypothesis import strategies as st

from common.vision.faces.quality import assess, measure
from common.vision.images.picture import View
from common.vision.types import (
    AnalyzeOptions,
    BgrImage,
    Box,
    Detection,
    FaceReason,
    QualityFilter,
)

LEVELS = [QualityFilter.LOW, QualityFilter.MEDIUM, QualityFilter.HIGH]
LOW = AnalyzeOptions(quality_filter=QualityFilter.LOW)
PORTRAIT = Detection(
    Box(180, 56, 90, 123),
    np.array([[204, 101], [247, 103], [224, 128], [201, 139], [246, 141]], dtype=np.float32),
    0.82,
)


@pytest.fixture(scope="module")
def astronaut() -> BgrImage:
    """A clear portrait of 512 x 512 pixels; PORTRAIT is her face."""
    image: BgrImage = np.ascontiguousarray(skimage.data.astronaut()[:, :, ::-1])
    return image


def blurred(image: BgrImage, sigma: float) -> BgrImage:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), dtype=np.uint8)


def exposed(image: BgrImage, factor: float) -> BgrImage:
    return np.asarray(np.clip(image.astype(np.float32) * factor, 0, 255), dtype=np.uint8)


def shrunk(image: BgrImage, factor: float) -> tuple[BgrImage, Detection]:
    small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    box = PORTRAIT.box
    smaller = Box(box.x * factor, box.y * factor, box.width * factor, box.height * factor)
    landmarks = PORTRAIT.landmarks * np.float32(factor)
    return np.asarray(small, dtype=np.uint8), replace(PORTRAIT, box=smaller, landmarks=landmarks)


def turned(nose_x: float) -> Detection:
    landmarks = PORTRAIT.landmarks.copy()
    landmarks[2, 0] += nose_x
    return replace(PORTRAIT, landmarks=landmarks)


def reasons(
    image: BgrImage, detection: Detection, options: AnalyzeOptions = LOW
) -> tuple[FaceReason, ...]:
    (face,) = assess(View(image), [detection], options)
    assert face.embedding is None
    return face.reasons


@pytest.mark.parametrize("level", QualityFilter)
def test_a_clear_portrait_passes_every_level(astronaut: BgrImage, level: QualityFilter) -> None:
    assert reasons(astronaut, PORTRAIT, AnalyzeOptions(quality_filter=level)) == ()


def test_extreme_blur_is_refused(astronaut: BgrImage) -> None:
    assert reasons(blurred(astronaut, 8), PORTRAIT) == (FaceReason.LOW_SHARPNESS,)


def test_darkness_is_refused(astronaut: BgrImage) -> None:
    assert FaceReason.LOW_BRIGHTNESS in reasons(exposed(astronaut, 0.03), PORTRAIT)


def test_burnt_out_faces_are_refused(astronaut: BgrImage) -> None:
    assert FaceReason.HIGH_BRIGHTNESS in reasons(exposed(astronaut, 12), PORTRAIT)


def test_faces_of_a_few_pixels_are_refused(astronaut: BgrImage) -> None:
    image, detection = shrunk(astronaut, 15 / 90)
    assert FaceReason.SMALL_BOX in reasons(image, detection)


def test_small_faces_of_group_photos_are_kept(astronaut: BgrImage) -> None:
    image, detection = shrunk(astronaut, 28 / 90)
    assert reasons(image, detection, AnalyzeOptions(quality_filter=QualityFilter.AUTO)) == ()


def test_heads_turned_away_are_refused(astronaut: BgrImage) -> None:
    assert reasons(astronaut, turned(90)) == (FaceReason.EXTREME_POSE,)
    assert reasons(astronaut, turned(-90)) == (FaceReason.EXTREME_POSE,)


def test_half_profiles_are_kept(astronaut: BgrImage) -> None:
    assert reasons(astronaut, turned(18)) == ()


def test_doubtful_detections_are_refused(astronaut: BgrImage) -> None:
    assert reasons(astronaut, replace(PORTRAIT, score=0.3)) == (FaceReason.LOW_CONFIDENCE,)


def test_no_filter_refuses_nothing(astronaut: BgrImage) -> None:
    everything_wrong = replace(turned(90), score=0.1)
    ruined = exposed(blurred(astronaut, 8), 0.03)
    assert (
        reasons(ruined, everything_wrong, AnalyzeOptions(quality_filter=QualityFilter.NONE)) == ()
    )
    assert len(reasons(ruined, everything_wrong)) == 4


@given(
    st.floats(0.01, 10),
    st.floats(0.05, 8),
    st.floats(0.1, 1.2),
    st.floats(-100, 100),
    st.floats(0, 1),
)
def test_a_stricter_level_never_lets_more_through(
    sigma: float, exposure: float, size: float, nose_x: float, score: float
) -> None:
    image = np.ascontiguousarray(skimage.data.astronaut()[40:200, 150:300, ::-1])
    box = Box(30, 16, 90 * size, 123 * size)
    detection = replace(turned(nose_x), box=box, score=score)
    worse = exposed(blurred(image, sigma), exposure)
    refused = [
        set(reasons(worse, detection, AnalyzeOptions(quality_filter=level))) for level in LEVELS
    ]
    assert refused[0] <= refused[1] <= refused[2]


def test_sharpness_falls_with_blur_and_not_with_contrast(astronaut: BgrImage) -> None:
    values = [
        measure(View(blurred(astronaut, s)), PORTRAIT).sharpness for s in (0.3, 0.8, 1.6, 3.2, 8)
    ]
    assert values == sorted(values, reverse=True)
    assert values[0] > 0.8
    assert values[-1] < 0.1
    flat = (astronaut * 0.5 + 60).astype(np.uint8)
    assert measure(View(flat), PORTRAIT).sharpness == pytest.approx(values[0], abs=0.15)


def test_score_falls_with_each_figure(astronaut: BgrImage) -> None:
    best = measure(View(astronaut), PORTRAIT).score
    small, detection = shrunk(astronaut, 0.3)
    worse = [
        measure(View(blurred(astronaut, 3)), PORTRAIT),
        measure(View(exposed(astronaut, 0.2)), PORTRAIT),
        measure(View(small), detection),
        measure(View(astronaut), turned(40)),
        measure(View(astronaut), replace(PORTRAIT, score=0.5)),
    ]
    assert 0.8 < best <= 1
    assert all(0 <= quality.score < best for quality in worse)


def test_landmarks_without_a_mouth_are_measured(astronaut: BgrImage) -> None:
    landmarks = PORTRAIT.landmarks.copy()
    landmarks[3:] = np.nan
    quality = measure(View(astronaut), replace(PORTRAIT, landmarks=landmarks))
    assert quality.pitch == 0
    assert abs(quality.yaw) < 20
    assert np.isfinite([quality.score, quality.sharpness, quality.yaw, quality.roll]).all()


@given(st.floats(-400, 900), st.floats(-400, 900), st.floats(0, 900), st.floats(0, 900))
def test_boxes_beyond_the_image_are_measured(x: float, y: float, w: float, h: float) -> None:
    image = np.full((200, 300, 3), 127, np.uint8)
    quality = measure(View(image), replace(PORTRAIT, box=Box(x, y, w, h)))
    assert quality.brightness == pytest.approx(127 / 255, abs=0.01)
    assert quality.sharpness == 0


def test_the_largest_good_faces_are_taken(astronaut: BgrImage) -> None:
    def face(width: float, *, score: float = 0.8) -> Detection:
        return replace(PORTRAIT, box=Box(180, 56, width, 123), score=score)

    given_faces = [face(60), face(90), face(100, score=0.1), face(80)]
    faces = assess(View(astronaut), given_faces, replace(LOW, max_faces=2))
    assert [f.detection.box.width for f in faces] == [100, 90, 80, 60]
    assert [f.reasons for f in faces] == [
        (FaceReason.LOW_CONFIDENCE,),
        (),
        (),
        (FaceReason.EXCEEDS_MAX_FACES,),
    ]


def test_no_faces_are_no_error(astronaut: BgrImage) -> None:
    assert assess(View(astronaut), [], LOW) == []
