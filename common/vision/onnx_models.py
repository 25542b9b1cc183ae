"""A pack's models on onnxruntime, in this process."""

from collections.abc import Sequence
from typing import Any

from common.config import EngineSettings
from common.errors import PackUnavailable
from common.vision.arcface import ArcFace
from common.vision.face_detector import CLOSE_SIDE, WHOLE_SIDE
from common.vision.models import Models
from common.vision.onnx_session import Runtime
from common.vision.pull import provide_pack
from common.vision.scrfd import Scrfd, detector_at
from common.vision.scrfd_graph import FixedGraph


def load_models(settings: EngineSettings, *, threads: int = 1, shared: bool = False) -> Models:
    """Load the pack that the settings name, `threads` threads to each of its models.

    shared: for several images at once, whose close canvases are run in batches too. Raises
    PackUnavailable if the pack, or an execution provider, is not there or not usable.
    """
    files = provide_pack(settings)
    runtime = Runtime.of(settings, threads=threads)
    whole, close = detectors_of(
        runtime.load(files.detector, "detection"),
        whole=runtime.detect_sizes,
        close=runtime.detect_sizes if shared else (),
    )
    recogniser = ArcFace(runtime.load(files.recogniser, "recognition"), sizes=runtime.embed_sizes)
    if shared or not runtime.on_cpu:
        recogniser.warm()
    return Models(files.pack, runtime.name, whole, close, recogniser)


def detectors_of(
    model: Any, *, whole: Sequence[int] = (), close: Sequence[int] = ()
) -> tuple[Scrfd, Scrfd]:
    """One of insightface's detectors on both canvases, as in Models.

    whole, close: batches of each. Raises PackUnavailable if it is no fit SCRFD.
    """
    try:
        large = detector_at(model, WHOLE_SIDE, *whole)
    except FixedGraph as error:
        raise PackUnavailable(f"{model.model_file} cannot be used: {error}.") from error
    try:
        return large, detector_at(model, CLOSE_SIDE, *close)
    except FixedGraph:
        return large, large
