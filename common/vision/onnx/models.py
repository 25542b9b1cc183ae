"""A pack's models on onnxruntime, in this process."""

import logging
from collections.abc import Sequence
from typing import Any

from common.config import EngineSettings
from common.errors import PackUnavailable
from common.vision.faces.detector import CLOSE_SIDE, WHOLE_SIDE
from common.vision.models import Models
from common.vision.onnx.arcface import ArcFace
from common.vision.onnx.pull import provide_pack
from common.vision.onnx.scrfd import Scrfd, detector_at, open_detector
from common.vision.onnx.scrfd_graph import FixedGraph
from common.vision.onnx.session import Runtime

logger = logging.getLogger(__name__)


def load_models(settings: EngineSettings, *, threads: int = 1, shared: bool = False) -> Models:
    """Load the pack that the settings name, `threads` threads to each of its models.

    shared: for several images at once: canvases are squares, the close ones run in batches too.
    Raises PackUnavailable if the pack, or an execution provider, is not there or not usable.
    """
    files = provide_pack(settings)
    runtime = Runtime.of(settings, threads=threads)
    whole, close = detectors_of(
        runtime.load(files.detector, "detection"),
        whole=runtime.detect_sizes,
        close=runtime.detect_sizes if shared else (),
        squares=shared or not runtime.on_cpu,
    )
    recogniser = ArcFace(runtime.load(files.recogniser, "recognition"), sizes=runtime.embed_sizes)
    if shared or not runtime.on_cpu:
        recogniser.warm()
    return Models(files.pack, runtime.name, whole, close, recogniser)


def detectors_of(
    model: Any, *, whole: Sequence[int] = (), close: Sequence[int] = (), squares: bool = False
) -> tuple[Scrfd, Scrfd]:
    """One of insightface's detectors on both canvases, as in Models.

    whole, close: batches of each. squares: on square canvases alone, as batches are, and as devices
    need, which prepare themselves for each shape. Raises PackUnavailable if it is no fit SCRFD.
    """
    if not squares and max(whole, default=1) == 1:
        try:
            detector = open_detector(model, WHOLE_SIDE)
            return detector, detector
        except FixedGraph as error:
            logger.info("%s looks at squares: %s", model.model_file, error)
    try:
        large = detector_at(model, WHOLE_SIDE, *whole)
    except FixedGraph as error:
        raise PackUnavailable(f"{model.model_file} cannot be used: {error}.") from error
    try:
        return large, detector_at(model, CLOSE_SIDE, *close)
    except FixedGraph:
        return large, large
