"""The onnx engine: packs in InsightFace's form on onnxruntime."""

import time
from dataclasses import replace

from common.config import EngineSettings
from common.vision.align import DegenerateLandmarks, align_face
from common.vision.arcface import ArcFace
from common.vision.face_detector import FaceDetector
from common.vision.onnx_session import Runtime
from common.vision.packs import PackFiles
from common.vision.pull import provide_pack
from common.vision.quality import assess
from common.vision.types import (
    Analysis,
    AnalyzeOptions,
    BgrImage,
    Face,
    FaceReason,
    Pack,
    Timings,
)


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
            runtime.load(files.detector, "detection"),
            batch=runtime.detect_batch,
            squares=not runtime.on_cpu,
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

    def analyze(self, image: BgrImage, options: AnalyzeOptions) -> Analysis:
        """Find, measure and embed the faces of one upright BGR image, largest first."""
        started = time.perf_counter()
        found = self._detector.find(image, options.detail)
        faces = assess(image, found.as_list(), options)
        detected = time.perf_counter()
        faces = self._embed(image, faces)
        embedded = time.perf_counter()
        timings = Timings(
            detect_ms=(detected - started) * 1000, embed_ms=(embedded - detected) * 1000
        )
        return Analysis(image.shape[1], image.shape[0], tuple(faces), timings)

    def _embed(self, image: BgrImage, faces: list[Face]) -> list[Face]:
        """Give each face without reasons its embedding."""
        crops = {}
        for i, face in enumerate(faces):
            if face.reasons:
                continue
            try:
                crops[i] = align_face(image, face.detection.landmarks)
            except DegenerateLandmarks:  # eyes, nose and mouth in one line: seen from the side
                faces[i] = replace(face, reasons=(FaceReason.EXTREME_POSE,))
        embeddings = self._recogniser.embed(list(crops.values()))
        for i, embedding in zip(crops, embeddings, strict=True):
            faces[i] = replace(faces[i], embedding=embedding)
        return faces
