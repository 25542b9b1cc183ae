"""The one place that picks an engine."""

from typing import assert_never

from common.config import EngineSettings
from common.errors import PackUnavailable
from common.vision.engine import Engine
from common.vision.workers.device_line import DeviceLine


def load_engine(settings: EngineSettings, *, threads: int = 1) -> Engine:
    """Load the engine that the settings name, with its models.

    threads: threads that one inference may use. Only the chosen engine's libraries are imported.
    Raises PackUnavailable with what to do if its models or libraries are not there.
    """
    kind = settings.kind
    if kind == "auto":
        kind = "onnx" if settings.pack else "starter"
    if kind == "onnx":
        from common.vision.onnx.engine import OnnxEngine

        try:
            from common.vision.onnx.models import load_models
        except ImportError as error:
            raise PackUnavailable(
                f"The onnx engine needs onnxruntime: {error}. Install facepass-server with its "
                "`cpu` or its `gpu` extra."
            ) from error
        return OnnxEngine(load_models(settings, threads=threads))
    if kind == "starter":
        from common.vision.starter.engine import StarterEngine

        return StarterEngine()
    if kind == "fake":
        from common.vision.fake.engine import FakeEngine

        return FakeEngine(settings.pack)
    assert_never(kind)


def remote_engine(line: DeviceLine) -> Engine:
    """The onnx engine on the models of a device process. Raises DeviceGone.

    onnxruntime and its libraries are not imported.
    """
    from common.vision.onnx.engine import OnnxEngine
    from common.vision.workers.remote_models import remote_models

    return OnnxEngine(remote_models(line))
