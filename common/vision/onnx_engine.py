"""The onnx engine: packs in InsightFace's form, whose models run here or in another process."""

import time
from dataclasses import replace
from itertools import islice

from common.vision.align import DegenerateLandmarks, align_face
from common.vision.batches import settled
from common.vision.face_detector import FaceDetector
from common.vision.models import Models
from common.vision.quality import assess
from common.vision.types import (
    Analysis,
    AnalyzeOptions,
    BgrImage,
    Checkpoint,
    Face,
    FaceReason,
    Pack,
    Timings,
    go_on,
)


class OnnxEngine:
    """Detects with the pack's SCRFD, embeds with its ArcFace recogniser."""

    def __init__(self, models: Models) -> None:
        self._pack = models.pack
        self.provider = models.provider
        self._detector = FaceDetector(models.whole, models.close)
        self._recogniser = models.recogniser

    @property
    def pack(self) -> Pack:
        return self._pack

    def analyze(
        self, image: BgrImage, options: AnalyzeOptions, checkpoint: Checkpoint = go_on
    ) -> Analysis:
        """Find, measure and embed the faces of one upright BGR image, largest first."""
        started = time.perf_counter()
        found = self._detector.find(image, options.detail, checkpoint)
        faces = assess(image, found.as_list(), options)
        detected = time.perf_counter()
        faces = self._embed(image, faces, checkpoint)
        embedded = time.perf_counter()
        timings = Timings(
            detect_ms=(detected - started) * 1000, embed_ms=(embedded - detected) * 1000
        )
        return Analysis(image.shape[1], image.shape[0], tuple(faces), timings)

    def _embed(self, image: BgrImage, faces: list[Face], checkpoint: Checkpoint) -> list[Face]:
        """Give each face without reasons its embedding."""
        crops = {}
        for i, face in enumerate(faces):
            if face.reasons:
                continue
            try:
                crops[i] = align_face(image, face.detection.landmarks)
            except DegenerateLandmarks:  # eyes, nose and mouth in one line: seen from the side
                faces[i] = replace(face, reasons=(FaceReason.EXTREME_POSE,))
        rest = iter(crops.items())
        while some := dict(islice(rest, self._recogniser.sizes[-1])):
            checkpoint()
            embeddings = settled(self._recogniser.embed_each(list(some.values())))
            for i, embedding in zip(some, embeddings, strict=True):
                faces[i] = replace(faces[i], embedding=embedding)
        return faces
