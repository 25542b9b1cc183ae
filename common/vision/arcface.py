"""Recognisers of the ArcFace family: aligned faces in, embeddings out."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from common.vision.align import CROP_SIDE
from common.vision.types import EmbeddingVector

MAX_BATCH = 32
"""Most faces of one inference: more gain nothing and only hold memory."""


class ArcFace:
    """One recogniser.

    Source: insightface model_zoo/arcface_onnx.py::ArcFaceONNX, whose finding is used of whether
    the graph normalises its input itself.
    """

    def __init__(self, model: Any) -> None:
        """model: insightface's ArcFaceONNX."""
        self._session: onnxruntime.InferenceSession = model.session
        self._input: str = model.input_name
        self._output: list[str] = model.output_names
        self._mean = (float(model.input_mean),) * 3
        self._scale = 1.0 / float(model.input_std)
        batch = model.input_shape[0]
        self._batch = batch if isinstance(batch, int) and batch > 0 else None

    def embed(self, crops: Sequence[NDArray[np.uint8]]) -> list[EmbeddingVector]:
        """Embed aligned faces, each (112, 112, 3) BGR. Returns L2-normalised (D,) float32."""
        size = self._batch or MAX_BATCH
        parts = [crops[start : start + size] for start in range(0, len(crops), size)]
        return [embedding for part in parts for embedding in self._embed_batch(part)]

    def _embed_batch(self, crops: Sequence[NDArray[np.uint8]]) -> list[EmbeddingVector]:
        side = (CROP_SIDE, CROP_SIDE)
        blob = cv2.dnn.blobFromImages(list(crops), self._scale, side, self._mean, swapRB=True)
        if self._batch:  # a graph of fixed batch wants all its places filled
            blob = np.resize(blob, (self._batch, *blob.shape[1:]))
        raw = self._session.run(self._output, {self._input: blob})[0][: len(crops)]
        vectors = np.asarray(raw, dtype=np.float32).reshape(len(crops), -1)
        lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo("f4").tiny)
        return list(vectors / lengths)
