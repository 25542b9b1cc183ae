"""The fake engine: deterministic faces of `fake_photos`, for tests of all that is not vision."""

import os
import time
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from common.calibration import Calibration
from common.errors import PackUnavailable
from common.vision.engine import Checkpoint, go_on
from common.vision.fake.photos import MIN_SATURATION, PALETTE, POOR_SHOT, SHOTS, Command, shot_grey
from common.vision.images.picture import Picture
from common.vision.types import (
    Analysis,
    AnalyzeOptions,
    BgrImage,
    Box,
    Detection,
    EmbeddingVector,
    Face,
    FaceReason,
    Pack,
    Quality,
    QualityFilter,
    Timings,
    largest_first,
)

PACK_PRIMES = {"fake": 31, "fake-small": 11}
"""Pack -> prime p: embeddings have 2p dimensions and p * p people are told apart."""
MIN_BOX_SIDE = 16
"""Smaller squares get the reason SMALL_BOX, in pixels."""
SLOW_S = 0.3
"""How long a photo with Command.SLOW takes."""
NEAR_NOISE, POOR_NOISE = 1 / 3, 1.225
"""Weight of a shot's own part: similarity 0.9 between near shots, 0.6 from near to poor ones."""


class FakeEngine:
    """Finds coloured squares; their colour and the grey behind them make the embedding."""

    def __init__(self, pack: str = "") -> None:
        """pack: `fake` (also when empty) or `fake-small`. Raises PackUnavailable for any other."""
        name = pack or "fake"
        if name not in PACK_PRIMES:
            raise PackUnavailable(
                f"There is no fake pack {name!r}; there are {sorted(PACK_PRIMES)}."
            )
        self._prime = PACK_PRIMES[name]
        self._pack = Pack(
            key=f"{name}@{self._prime:08x}",
            engine="fake",
            dimension=2 * self._prime,
            licence="MIT",
            commercial_use=True,
            min_similarity=0.5,
            confident_similarity=0.75,
            calibration=Calibration(0.0, (2 * self._prime) ** -0.5),
        )

    provider = "CPU"

    @property
    def pack(self) -> Pack:
        return self._pack

    def analyze(
        self, picture: Picture, options: AnalyzeOptions, checkpoint: Checkpoint = go_on
    ) -> Analysis:
        """As Engine.analyze; obeys a Command drawn in the photo first."""
        image = picture.view().pixels
        started = time.perf_counter()
        squares, bars = _shapes(image)
        for bar in bars:
            checkpoint()
            _obey(_colour(image, bar))
        detections = largest_first([_detection(box) for box in squares])
        detected = time.perf_counter()
        checkpoint()
        faces = [_face(image, detection, options) for detection in detections]
        kept = 0
        for index, face in enumerate(faces):
            if face.reasons:
                continue
            if kept >= options.max_faces:
                faces[index] = replace(face, reasons=(FaceReason.EXCEEDS_MAX_FACES,))
                continue
            kept += 1
            person = _person(_colour(image, face.detection.box))
            faces[index] = replace(face, embedding=self.embedding(person, _shot(image)))
        timings = Timings(
            detect_ms=(detected - started) * 1000,
            embed_ms=(time.perf_counter() - detected) * 1000,
        )
        return Analysis(picture.width, picture.height, tuple(faces), timings)

    def embedding(self, person: int, shot: int = 0) -> EmbeddingVector:
        """The embedding of a person in a shot; two people's similarity is below 0.4.

        Quadratic chirps over a prime p: any two of the p * p differ by a Gauss sum, so that their
        inner product is at most 1 / sqrt(p).
        """
        p = self._prime
        x = np.arange(p)
        phase = 2 * np.pi * ((person % p) * x + (person // p % p) * x * x) / p
        base = np.concatenate([np.cos(phase), np.sin(phase)]) / np.sqrt(p)
        noise = np.random.default_rng([person, shot]).standard_normal(2 * p)
        noise -= base * (noise @ base)
        weight = POOR_NOISE if shot >= POOR_SHOT else NEAR_NOISE
        vector = base + weight * noise / np.linalg.norm(noise)
        return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)


def _shapes(image: BgrImage) -> tuple[list[Box], list[Box]]:
    """The filled coloured rectangles of a picture: (squares, bars)."""
    saturation = image.max(axis=2).astype(np.int16) - image.min(axis=2)
    mask = (saturation > MIN_SATURATION * 2 // 3).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    squares: list[Box] = []
    bars: list[Box] = []
    for x, y, width, height, area in stats[1:].tolist():
        if area < 36 or area < 0.8 * width * height:
            continue
        box = Box(float(x), float(y), float(width), float(height))
        ratio = max(width, height) / min(width, height)
        if ratio <= 1.5:
            squares.append(box)
        elif ratio >= 3:
            bars.append(box)
    return squares, bars


def _colour(image: BgrImage, box: Box) -> NDArray[np.float64]:
    """(3,) median BGR of the middle of a box, away from what compression does to its edges."""
    x, y = int(box.x + box.width / 4), int(box.y + box.height / 4)
    middle = image[y : y + max(1, int(box.height / 2)), x : x + max(1, int(box.width / 2))]
    return np.asarray(np.median(middle.reshape(-1, 3), axis=0), dtype=np.float64)


def _person(bgr: NDArray[np.float64]) -> int:
    """The person whose colour is nearest."""
    return int(np.abs(PALETTE.astype(np.float64) - bgr[::-1]).sum(axis=1).argmin())


def _shot(image: BgrImage) -> int:
    """The shot whose grey is nearest to that of the picture's outermost pixels."""
    edge = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    grey = float(np.median(edge))
    return min(range(SHOTS), key=lambda shot: abs(shot_grey(shot) - grey))


def _obey(bgr: NDArray[np.float64]) -> None:
    """Do what a bar's colour asks for."""
    distance = {c: float(np.abs(np.array(c.value) - bgr[::-1]).sum()) for c in Command}
    match min(distance, key=lambda command: distance[command]):
        case Command.CRASH:
            os._exit(70)
        case Command.HANG:
            while True:
                time.sleep(3600)
        case Command.FAIL:
            raise RuntimeError("a photo asked the fake engine to fail")
        case Command.SLOW:
            time.sleep(SLOW_S)


def _detection(box: Box) -> Detection:
    """A detection with landmarks where a frontal face would have them."""
    places = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])
    landmarks = places * [box.width, box.height] + [box.x, box.y]
    return Detection(box, landmarks.astype(np.float32), score=0.99)


def _face(image: BgrImage, detection: Detection, options: AnalyzeOptions) -> Face:
    """A face with its quality, not yet embedded; a small one is refused by every filter but
    NONE."""
    small = min(detection.box.width, detection.box.height) < MIN_BOX_SIDE
    brightness = float(_colour(image, detection.box).mean() / 255)
    quality = Quality(0.2 if small else 0.9, 1.0, brightness, 0.0, 0.0, 0.0)
    refused = small and options.quality_filter is not QualityFilter.NONE
    return Face(detection, quality, (FaceReason.SMALL_BOX,) if refused else ())
