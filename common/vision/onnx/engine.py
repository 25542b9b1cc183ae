"""The onnx engine: packs in InsightFace's form, whose models run here or in another process."""

import time
from dataclasses import replace
from itertools import islice

from common.vision.batches import settled
from common.vision.engine import Checkpoint, go_on
from common.vision.faces.align import DegenerateLandmarks, align_face
from common.vision.faces.detector import WHOLE_SIDE, FaceDetector
from common.vision.faces.quality import assess, needed_scale
from common.vision.images.picture import Picture, View
from common.vision.models import Models
from common.vision.types import (
    Analysis,
    AnalyzeOptions,
    Detail,
    Detection,
    Face,
    FaceReason,
    Pack,
    Timings,
)

_LOOKED_AT = 2.5 * WHOLE_SIDE
"""Longer side of a photo, in pixels, from which on its faces are found as in a larger one: see
docs/decisions/0003-image-decoding.md."""


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
        self, picture: Picture, options: AnalyzeOptions, checkpoint: Checkpoint = go_on
    ) -> Analysis:
        """As Engine.analyze; a large photo is decoded at full size for small faces only."""
        started = time.perf_counter() - picture.decode_s
        detections = self._find(picture, options.detail, checkpoint)
        view = picture.view(needed_scale(detections, options))
        faces = assess(view, detections, options)
        detected = time.perf_counter() - picture.decode_s
        faces = self._embed(view, faces, checkpoint)
        embedded = time.perf_counter() - picture.decode_s
        timings = Timings(
            detect_ms=(detected - started) * 1000, embed_ms=(embedded - detected) * 1000
        )
        return Analysis(picture.width, picture.height, tuple(faces), timings)

    def _find(self, picture: Picture, detail: Detail, checkpoint: Checkpoint) -> list[Detection]:
        """All faces, in pixels of the picture."""
        whole = detail is Detail.HIGH
        view = picture.view(1.0 if whole else _LOOKED_AT / max(picture.width, picture.height))
        checkpoint()
        found = self._detector.find(view.pixels, detail, checkpoint)
        return found.moved(scale=view.scale).as_list()

    def _embed(self, view: View, faces: list[Face], checkpoint: Checkpoint) -> list[Face]:
        """Give each face without reasons its embedding."""
        crops = {}
        for i, face in enumerate(faces):
            if face.reasons:
                continue
            try:
                crops[i] = align_face(view.pixels, view.points(face.detection.landmarks))
            except DegenerateLandmarks:  # eyes, nose and mouth in one line: seen from the side
                faces[i] = replace(face, reasons=(FaceReason.EXTREME_POSE,))
        rest = iter(crops.items())
        while some := dict(islice(rest, self._recogniser.sizes[-1])):
            checkpoint()
            embeddings = settled(self._recogniser.embed_each(list(some.values())))
            for i, embedding in zip(some, embeddings, strict=True):
                faces[i] = replace(faces[i], embedding=embedding)
        return faces
