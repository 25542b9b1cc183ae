"""Recognisers of the ArcFace family: aligned faces in, embeddings out."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from common.vision.batches import Unfit, padded, run_each, settled
from common.vision.faces.align import CROP_SIDE
from common.vision.types import EmbeddingVector

CPU_SIZES = range(1, 5)
"""Batches that cost no more a face than singles on a CPU: docs/decisions/0013-batches.md."""
_SHAPE = (CROP_SIDE, CROP_SIDE, 3)


class ArcFace:
    """One recogniser.

    Source: insightface model_zoo/arcface_onnx.py::ArcFaceONNX, whose finding is used of whether
    the graph normalises its input itself.
    """

    def __init__(self, model: Any, sizes: Sequence[int] = CPU_SIZES) -> None:
        """model: insightface's ArcFaceONNX. sizes: of the batches to run, ascending; a graph of
        fixed batch runs that one alone."""
        self._session: onnxruntime.InferenceSession = model.session
        self._input: str = model.input_name
        self._output: list[str] = model.output_names
        self._mean = (float(model.input_mean),) * 3
        self._scale = 1.0 / float(model.input_std)
        fixed = model.input_shape[0]
        self.sizes = [fixed] if isinstance(fixed, int) and fixed > 0 else list(sizes)

    def warm(self) -> None:
        """Run each size once, so that no photo waits for what a device prepares for it."""
        blank = np.zeros(_SHAPE, np.uint8)
        for size in self.sizes:
            self._embed_batch([blank], size)

    def embed(self, crops: Sequence[NDArray[np.uint8]]) -> list[EmbeddingVector]:
        """Embed aligned faces, each (112, 112, 3) BGR. Returns L2-normalised (D,) float32.

        Raises Unfit if one of them cannot be.
        """
        return settled(self.embed_each(crops))

    def embed_each(self, crops: Sequence[NDArray[np.uint8]]) -> list[EmbeddingVector | Unfit]:
        """As `embed`; a crop of another size, or that gives no numbers, fails alone."""
        return run_each(crops, self.sizes, lambda crop: crop.shape == _SHAPE, self._embed_batch)

    def _embed_batch(
        self, crops: Sequence[NDArray[np.uint8]], size: int
    ) -> list[EmbeddingVector | Unfit]:
        blob = cv2.dnn.blobFromImages(list(crops), self._scale, mean=self._mean, swapRB=True)
        raw = self._session.run(self._output, {self._input: padded(blob, size)})[0]
        vectors = np.asarray(raw[: len(crops)], dtype=np.float32).reshape(len(crops), -1)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors = vectors / np.maximum(lengths, np.finfo("f4").tiny)
        unfit = Unfit("the recogniser gives no numbers for this face")
        sound = np.isfinite(vectors).all(axis=1)
        return [each if sound[i] else unfit for i, each in enumerate(vectors)]
