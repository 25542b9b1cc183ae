"""The starter engine: dlib from ordinary packages, so that a fresh machine needs no download."""

import hashlib
import importlib.util
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from common.calibration import Calibration
from common.errors import PackUnavailable
from common.vision.engine import Checkpoint, go_on
from common.vision.faces.quality import assess
from common.vision.images.picture import Picture
from common.vision.starter.mean import MEAN, SHARE
from common.vision.types import Analysis, AnalyzeOptions, EmbeddingVector, Pack, Timings

if TYPE_CHECKING:
    from common.vision.starter.detector import FoundFace

RECOGNISER = "dlib_face_recognition_resnet_model_v1.dat"
DIMENSION = 128
CHIP_SIDE, CHIP_PADDING = 150, 0.25
HOW_TO_GET_IT = "Install facepass-server with its `starter` extra, or name a model pack."
# Measured over real photos and their variations, see docs/decisions/0006-starter-engine.md: between
# the highest similarity of strangers and the lowest of clear photos of one person.
MIN_SIMILARITY, CONFIDENT_SIMILARITY = 0.58, 0.66
# Measured over 169 pairs of people, see docs/decisions/0010-calibration.md.
CALIBRATION = Calibration(impostor_mean=0.17, impostor_sd=0.145)


class StarterEngine:
    """dlib's HOG detector, 5-point predictor and 128-d ResNet."""

    def __init__(self) -> None:
        """Load the models. Raises PackUnavailable where the packages that hold them are missing."""
        models = models_folder()
        try:
            import _dlib_pybind11 as dlib

            from common.vision.starter.detector import StarterDetector, dlib_points
        except ImportError as error:
            raise PackUnavailable(
                f"The starter engine needs dlib: {error}. {HOW_TO_GET_IT}"
            ) from error
        self._chip: Any = dlib.get_face_chip
        self._points = dlib_points
        self._detector = StarterDetector(models)
        self._network: Any = dlib.face_recognition_model_v1(str(models / RECOGNISER))
        self._pack = Pack(
            key=f"dlib_resnet_v1@{_identity(models / RECOGNISER)}",
            engine="starter",
            dimension=DIMENSION,
            licence="public domain (dlib-models)",
            commercial_use=True,
            min_similarity=MIN_SIMILARITY,
            confident_similarity=CONFIDENT_SIMILARITY,
            calibration=CALIBRATION,
        )

    provider = "CPU"

    @property
    def pack(self) -> Pack:
        return self._pack

    def analyze(
        self, picture: Picture, options: AnalyzeOptions, checkpoint: Checkpoint = go_on
    ) -> Analysis:
        """As Engine.analyze; looks at all pixels, which cost little beside its detector."""
        view = picture.view()
        image = view.pixels
        checkpoint()
        started = time.perf_counter()
        found = self._detector.find(image, options.detail)
        faces = assess(view, [face.detection for face in found], options)
        detected = time.perf_counter()
        rgb = np.ascontiguousarray(image[:, :, ::-1])
        # Both are ordered by size, so that they go together.
        for i, source in enumerate(found):
            checkpoint()
            if not faces[i].reasons:
                faces[i] = replace(faces[i], embedding=self._embed(rgb, source))
        timings = Timings(
            detect_ms=(detected - started) * 1000,
            embed_ms=(time.perf_counter() - detected) * 1000,
        )
        return Analysis(picture.width, picture.height, tuple(faces), timings)

    def describe(self, rgb: NDArray[np.uint8], face: "FoundFace") -> NDArray[np.float64]:
        """The network's own descriptor of one face, not normalised; (128,).

        rgb: (H, W, 3) RGB, contiguous.
        """
        points = self._points(face.corners, face.detection.box)
        chip = self._chip(rgb, points, CHIP_SIDE, CHIP_PADDING)
        return np.array(self._network.compute_face_descriptor(chip), dtype=np.float64)

    def _embed(self, rgb: NDArray[np.uint8], face: "FoundFace") -> EmbeddingVector:
        own = self.describe(rgb, face) - SHARE * MEAN
        return np.asarray(own / np.linalg.norm(own), dtype=np.float32)


def models_folder() -> Path:
    """Where face_recognition_models keeps its files; found without importing it.

    Importing it needs pkg_resources, which present environments no longer have.
    """
    spec = importlib.util.find_spec("face_recognition_models")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        models = Path(folder) / "models"
        if (models / RECOGNISER).is_file():
            return models
    raise PackUnavailable(f"The starter engine's models are not installed. {HOW_TO_GET_IT}")


def _identity(recogniser: Path) -> str:
    """8 hex digits of what makes two embeddings comparable: weights, alignment, normalisation."""
    digest = hashlib.sha256(recogniser.read_bytes())
    digest.update(f"5 points, {CHIP_SIDE} px, padding {CHIP_PADDING}".encode())
    digest.update((SHARE * MEAN).astype("<f8").tobytes())
    return digest.hexdigest()[:8]
