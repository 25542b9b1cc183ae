"""Models in half precision, taken only where they say what they say in full."""

import hashlib
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

logger = logging.getLogger(__name__)

MIN_COSINE = 0.999
"""Of each output of each image, between half and full precision."""
_IMAGES = 4


def halved(model: Any, load: Callable[[Path], Any], folder: Path) -> Any:
    """The model in half precision, or as it is, with a warning, where that gives other results.

    model: one of insightface's model objects. load: makes one of a file. folder: where the halved
    file is kept.
    """
    try:
        half = load(half_file(Path(model.model_file), folder))
        cosine = lowest_cosine(model, half)
    except Exception as error:  # neither the converter's nor onnxruntime's errors have a root
        reason = str(error)
    else:
        if cosine >= MIN_COSINE:
            return half
        reason = f"its results have a cosine of {cosine:.5f} with those in full"
    text = f"{model.model_file} is used in full precision: in half, {reason}"
    logger.warning(text, extra={"action": "half_precision_refused"})
    return model


def half_file(path: Path, folder: Path) -> Path:
    """The file with a model's weights in half precision, made where it is not there yet.

    Inputs and outputs stay as they are.
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16

    content = path.read_bytes()
    target = folder / f"{path.stem}-{hashlib.sha256(content).hexdigest()[:16]}-fp16.onnx"
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        half = convert_float_to_float16(onnx.load_model_from_string(content), keep_io_types=True)
        part = target.with_suffix(f".{os.getpid()}")  # workers may be at it at the same time
        part.write_bytes(half.SerializeToString())
        part.replace(target)
    return target


def lowest_cosine(one: Any, other: Any) -> float:
    """Of the outputs of two of insightface's models for random images, over images and outputs."""
    blob = _random_blob(one)
    cosines = []
    for image in blob:
        feed = image[None]
        outputs = (each.session.run(None, {each.input_name: feed}) for each in (one, other))
        for a, b in zip(*outputs, strict=True):
            a, b = a.ravel().astype(np.float64), b.ravel().astype(np.float64)
            cosines.append(float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b))))
    return float(np.min(cosines))


def _random_blob(model: Any) -> NDArray[np.float32]:
    """(N, 3, H, W) of noise in the range that the model is given."""
    _, _, height, width = model.session.get_inputs()[0].shape
    if not (isinstance(height, int) and isinstance(width, int)):
        height = width = 640
    pixels = np.random.default_rng(9).integers(0, 256, (_IMAGES, 3, height, width))
    return np.asarray((pixels - model.input_mean) / model.input_std, np.float32)
