"""What an ONNX file of a model pack is for, read from its graph; no model is run."""

from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from common.errors import PackUnavailable
from common.vision.faces.align import CROP_SIDE

# An anchor-based detector has a score and a box head for each of three strides, or more.
_MIN_DETECTOR_OUTPUTS = 5


@dataclass(frozen=True, slots=True)
class DetectorGraph:
    """input_size: (width, height) pixels where the graph fixes it, else None."""

    input_size: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class RecogniserGraph:
    """dimension: length of the embedding."""

    dimension: int


def read_graph(path: Path) -> DetectorGraph | RecogniserGraph | None:
    """Say what a model is; None for what FacePass has no use for (landmarks, gender and age, ...).

    Raises PackUnavailable if the file cannot be read, or is a recogniser that does not say its
    dimension.
    Source: insightface model_zoo/model_zoo.py::ModelRouter (its rules, without its session).
    """
    model = _load(path)
    weights = {weight.name for weight in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    outputs = list(model.graph.output)
    if len(inputs) != 1 or len(shape := _shape(inputs[0])) != 4:
        return None
    if len(outputs) >= _MIN_DETECTOR_OUTPUTS:
        height, width = shape[2], shape[3]
        return DetectorGraph((width, height) if width and height else None)
    if len(outputs) == 1 and shape[2:] == (CROP_SIDE, CROP_SIDE):
        return RecogniserGraph(_embedding_dimension(model, path))
    return None


def _load(path: Path) -> onnx.ModelProto:
    try:
        model = onnx.load(str(path), load_external_data=False)
    except (OSError, DecodeError) as error:
        raise PackUnavailable(f"{path} cannot be read as an ONNX model: {error}") from error
    if any(onnx.external_data_helper.uses_external_data(w) for w in model.graph.initializer):
        # The key of a pack is the hash of this one file; weights beside it would escape it.
        raise PackUnavailable(f"{path} keeps weights in another file: save them in one.")
    return model


def _embedding_dimension(model: onnx.ModelProto, path: Path) -> int:
    shape = _shape(model.graph.output[0])
    if not shape or not shape[-1]:
        shape = _shape(onnx.shape_inference.infer_shapes(model).graph.output[0])
    if not shape or not shape[-1]:
        raise PackUnavailable(f"{path} does not say how long its embeddings are.")
    return shape[-1]


def _shape(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    """The shape of a value; 0 where the graph leaves a side open."""
    return tuple(int(side.dim_value) for side in value.type.tensor_type.shape.dim)
