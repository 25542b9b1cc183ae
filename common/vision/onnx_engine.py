"""The onnx engine: packs in InsightFace's form on onnxruntime."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnxruntime
from insightface.model_zoo import get_model

from common.config import EngineSettings
from common.errors import PackUnavailable
from common.vision.align import DegenerateLandmarks, align_face
from common.vision.arcface import ArcFace
from common.vision.face_detector import FaceDetector
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

_ERRORS_ONLY = 3


class OnnxEngine:
    """Detects with the pack's SCRFD, embeds with its ArcFace recogniser."""

    def __init__(self, pack: Pack, detector: FaceDetector, recogniser: ArcFace) -> None:
        self._pack = pack
        self._detector = detector
        self._recogniser = recogniser

    @classmethod
    def load(cls, settings: EngineSettings, *, threads: int = 1) -> "OnnxEngine":
        """Load the pack that the settings name, `threads` threads to each of its models.

        Raises PackUnavailable if the pack, or an execution provider, is not there or not usable.
        """
        files = provide_pack(settings)
        return cls.of(files, choose_providers(settings.providers), threads=threads)

    @classmethod
    def of(cls, files: PackFiles, providers: list[str], *, threads: int = 1) -> "OnnxEngine":
        """Load a pack that was found. Raises PackUnavailable if its models cannot be used."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _ERRORS_ONLY
        detector = _load_model(files.detector, "detection", providers, options)
        recogniser = _load_model(files.recogniser, "recognition", providers, options)
        return cls(files.pack, FaceDetector.of(detector), ArcFace(recogniser))

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


def choose_providers(wanted: list[str]) -> list[str]:
    """The execution providers to use: those wanted, else CUDA where there is one and the CPU.

    Raises PackUnavailable if one is wanted that this onnxruntime does not have.
    """
    available = onnxruntime.get_available_providers()
    if missing := [name for name in wanted if name not in available]:
        raise PackUnavailable(
            f"This onnxruntime has no {', '.join(missing)}. It has: {', '.join(available)}."
        )
    preferred = ("CUDAExecutionProvider", "CPUExecutionProvider")
    return wanted or [name for name in preferred if name in available]


def _load_model(
    path: Path, task: str, providers: list[str], options: onnxruntime.SessionOptions
) -> Any:
    """One of insightface's model objects, with its session."""
    try:
        model = get_model(str(path), providers=providers, sess_options=options)
    except Exception as error:  # onnxruntime's errors have no common root
        raise PackUnavailable(f"{path} cannot be loaded: {error}") from error
    if model is None or model.taskname != task:
        raise PackUnavailable(f"insightface does not take {path} for a {task} model.")
    return model
