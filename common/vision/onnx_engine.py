"""The onnx engine: packs in InsightFace's form on onnxruntime."""

import time
from dataclasses import replace

from common.config import EngineSettings
from common.vision.align import DegenerateLandmarks, align_face
from common.vision.arcface import ArcFace
from common.vision.face_detector import WHOLE_SIDE, FaceDetector
from common.vision.onnx_session import Runtime
from common.vision.packs import PackFiles
from common.vision.picture import Picture, View
from common.vision.pull import provide_pack
from common.vision.quality import assess, needed_scale
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

    def __init__(
        self, pack: Pack, detector: FaceDetector, recogniser: ArcFace, provider: str = "CPU"
    ) -> None:
        self._pack = pack
        self.provider = provider
        self._detector = detector
        self._recogniser = recogniser

    @classmethod
    def load(cls, settings: EngineSettings, *, threads: int = 1) -> "OnnxEngine":
        """Load the pack that the settings name, `threads` threads to each of its models.

        Raises PackUnavailable if the pack, or an execution provider, is not there or not usable.
        """
        files = provide_pack(settings)
        return cls.of(files, Runtime.of(settings, threads=threads))

    @classmethod
    def of(cls, files: PackFiles, runtime: Runtime) -> "OnnxEngine":
        """Load a pack that was found. Raises PackUnavailable if its models cannot be used."""
        detector = FaceDetector.of(
            runtime.load(files.detector, "detection"), batch=runtime.detect_batch
        )
        recogniser = ArcFace(
            runtime.load(files.recogniser, "recognition"), sizes=runtime.embed_sizes
        )
        if not runtime.on_cpu:
            recogniser.warm()
        return cls(files.pack, detector, recogniser, runtime.name)

    @property
    def pack(self) -> Pack:
        return self._pack

    def analyze(self, picture: Picture, options: AnalyzeOptions) -> Analysis:
        """As Engine.analyze; a large photo is decoded at full size for small faces only."""
        started = time.perf_counter() - picture.decode_s
        detections = self._find(picture, options.detail)
        view = picture.view(needed_scale(detections, options))
        faces = assess(view, detections, options)
        detected = time.perf_counter() - picture.decode_s
        faces = self._embed(view, faces)
        embedded = time.perf_counter() - picture.decode_s
        timings = Timings(
            detect_ms=(detected - started) * 1000, embed_ms=(embedded - detected) * 1000
        )
        return Analysis(picture.width, picture.height, tuple(faces), timings)

    def _find(self, picture: Picture, detail: Detail) -> list[Detection]:
        """All faces, in pixels of the picture."""
        whole = detail is Detail.HIGH
        view = picture.view(1.0 if whole else _LOOKED_AT / max(picture.width, picture.height))
        return self._detector.find(view.pixels, detail).moved(scale=view.scale).as_list()

    def _embed(self, view: View, faces: list[Face]) -> list[Face]:
        """Give each face without reasons its embedding."""
        crops = {}
        for i, face in enumerate(faces):
            if face.reasons:
                continue
            try:
                crops[i] = align_face(view.pixels, view.points(face.detection.landmarks))
            except DegenerateLandmarks:  # eyes, nose and mouth in one line: seen from the side
                faces[i] = replace(face, reasons=(FaceReason.EXTREME_POSE,))
        embeddings = self._recogniser.embed(list(crops.values()))
        for i, embedding in zip(crops, embeddings, strict=True):
            faces[i] = replace(faces[i], embedding=embedding)
        return faces
