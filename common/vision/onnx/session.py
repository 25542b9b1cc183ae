"""How onnxruntime runs a pack: on which execution providers, with how many threads, in which
batches."""

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from insightface.model_zoo import get_model
from insightface.model_zoo.onnxruntime_utils import preload_cuda_libraries
from onnx import TensorProto, helper

from common.config import EngineSettings
from common.errors import PackUnavailable
from common.vision.onnx.arcface import CPU_SIZES
from common.vision.onnx.edited_session import edited_session
from common.vision.onnx.half import halved
from common.vision.onnx.split_prelu import without_prelu

logger = logging.getLogger(__name__)

TENSORRT = "TensorrtExecutionProvider"
CUDA = "CUDAExecutionProvider"
CPU = "CPUExecutionProvider"
FASTEST_FIRST = (TENSORRT, CUDA, CPU)

_ERRORS_ONLY = 3
# By measurement on CPU: docs/decisions/0013-batches.md. On a GPU: what others found, not measured.
_CPU_DETECT, _CPU_EMBED = 1, max(CPU_SIZES)
_GPU_DETECT, _GPU_EMBED = 16, 64


@dataclass(frozen=True, slots=True)
class Runtime:
    """What sessions are opened with. providers: in order of preference, those that work."""

    providers: tuple[str, ...]
    threads: int = 1
    detect_batch: int = _CPU_DETECT
    embed_batch: int = _CPU_EMBED
    half_precision: bool = False
    cache_dir: Path = Path()

    @classmethod
    def of(cls, settings: EngineSettings, *, threads: int = 1) -> "Runtime":
        """What the settings ask for, else what suits the providers that work.

        Raises PackUnavailable if a provider is asked for that does not work.
        """
        providers = choose_providers(settings.providers)
        on_cpu = providers == [CPU]
        return cls(
            tuple(providers),
            threads,
            settings.detect_batch or (_CPU_DETECT if on_cpu else _GPU_DETECT),
            settings.embed_batch or (_CPU_EMBED if on_cpu else _GPU_EMBED),
            settings.half_precision,
            settings.cache_dir.expanduser(),
        )

    @property
    def on_cpu(self) -> bool:
        return self.providers == (CPU,)

    @property
    def name(self) -> str:
        """What runs first: CPU, CUDA, Tensorrt."""
        return self.providers[0].removesuffix("ExecutionProvider")

    @property
    def detect_sizes(self) -> Sequence[int]:
        """Batches to detect in, each a session of its own."""
        return [1, self.detect_batch] if self.on_cpu else _few(self.detect_batch)

    @property
    def embed_sizes(self) -> Sequence[int]:
        """Batches to embed in: any on a CPU; on a device, which prepares itself for each, few."""
        return range(1, self.embed_batch + 1) if self.on_cpu else _few(self.embed_batch)

    def load(self, path: Path, task: str) -> Any:
        """One of insightface's model objects, with its session: on a CPU a recogniser's of a graph
        that is faster there; in half precision where that is asked for and changes nothing.

        Raises PackUnavailable if it cannot be loaded, or is for another task.
        """
        model = self._load(path)
        if model is None or model.taskname != task:
            raise PackUnavailable(f"insightface does not take {path} for a {task} model.")
        if self.on_cpu and task == "recognition":
            model.session = edited_session(model, without_prelu(path))
        return halved(model, self._load, self.cache_dir / "fp16") if self.half_precision else model

    def _load(self, path: Path) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _ERRORS_ONLY
        try:
            return get_model(
                str(path),
                providers=list(self.providers),
                provider_options=[self._options(name) for name in self.providers],
                sess_options=options,
            )
        except Exception as error:  # onnxruntime's errors have no common root
            raise PackUnavailable(f"{path} cannot be loaded: {error}") from error

    def _options(self, provider: str) -> dict[str, str]:
        """A provider's own options, as onnxruntime names them."""
        if provider != TENSORRT:
            return {}
        folder = self.cache_dir / "tensorrt"
        folder.mkdir(parents=True, exist_ok=True)
        return {
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": str(folder),
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": str(folder),
        }


def _few(most: int) -> list[int]:
    """Some sizes of batches up to `most`."""
    return [size for size in (1, 4, 16) if size < most] + [most]


def choose_providers(wanted: Sequence[str]) -> list[str]:
    """The execution providers to use: those wanted, else all that work, the fastest first.

    Raises PackUnavailable if one is wanted that this onnxruntime does not have, or that does not
    work here.
    """
    offered = onnxruntime.get_available_providers()
    if missing := [name for name in wanted if name not in offered]:
        raise PackUnavailable(
            f"This onnxruntime has no {', '.join(missing)}. It has: {', '.join(offered)}."
        )
    chosen = []
    for name in wanted or [name for name in FASTEST_FIRST if name in offered]:
        reason = why_not(name)
        if reason is None:
            chosen.append(name)
        elif wanted:
            raise PackUnavailable(f"{name} does not work here: {reason}.")
        else:
            text = f"{name} is not used: {reason}"
            logger.warning(text, extra={"action": "provider_left_out", "provider": name})
    return chosen


def why_not(provider: str) -> str | None:
    """Why a provider does not work here, tried with a model of one node; None if it does.

    onnxruntime lists what it was built with, and goes on without it where a library is missing.
    """
    if provider == CPU:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            preload_cuda_libraries([CUDA] if provider in (TENSORRT, CUDA) else [])
            session = onnxruntime.InferenceSession(_one_node(), providers=[provider])
            session.run(None, {"x": np.zeros(1, np.float32)})
    except Exception as error:  # onnxruntime's errors have no common root
        return str(error).strip() or type(error).__name__
    if provider not in session.get_providers():
        return "onnxruntime could not load its libraries, see its own message"
    return None


def _one_node() -> bytes:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "probe", [x], [y])
    opset = helper.make_opsetid("", 12)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
    return bytes(model.SerializeToString())
