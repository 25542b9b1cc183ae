"""B1: one process, `for photo: app.get(cv2.imdecode(photo))` with insightface's FaceAnalysis.

Same pack, detection and recognition only, det_size 640 x 640, CPU, threads as onnxruntime chooses.

usage: python -m bench.baselines.b1 PACK     takes orders, see `bench.index_child`
"""

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import cv2
import numpy as np
from insightface.app import FaceAnalysis

from bench.index_child import own_output, serve_orders, tell

MODULES = ["detection", "recognition"]
PROVIDERS = ["CPUExecutionProvider"]


class Baseline:
    """What a user would otherwise write."""

    def __init__(self, pack: str) -> None:
        self._app = FaceAnalysis(name=pack, allowed_modules=MODULES, providers=PROVIDERS)
        self._app.prepare(ctx_id=-1, det_size=(640, 640))

    def answer(self, order: dict[str, Any]) -> object:
        """`index`: how long it takes; `faces`: what it finds."""
        doings: dict[str, Callable[..., object]] = {"index": self._index, "faces": self._faces}
        return doings[order.pop("do")](**order)

    def _index(self, photos: list[str], repeats: int) -> object:
        contents = [Path(photo).read_bytes() for photo in photos]
        started, faces = perf_counter(), 0
        for _ in range(repeats):
            for content in contents:
                faces += len(self._get(content))
        seconds = perf_counter() - started
        return {"seconds": seconds, "photos": repeats * len(contents), "faces": faces}

    def _faces(self, photos: list[str]) -> object:
        """Of each photo: corners (left, top, right, bottom), score and embedding of its faces."""
        return {
            photo: [
                {
                    "corners": face.bbox.tolist(),
                    "score": float(face.det_score),
                    "embedding": face.normed_embedding.tolist(),
                }
                for face in self._get(Path(photo).read_bytes())
            ]
            for photo in photos
        }

    def _get(self, content: bytes) -> list[Any]:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        faces: list[Any] = self._app.get(image)
        return faces


def main() -> None:
    """Load the pack, say so, then take orders."""
    output = own_output()
    warnings.simplefilter("ignore", FutureWarning)  # a call that scikit-image gives up
    baseline = Baseline(sys.argv[1])
    tell(output, {"ready": True})
    serve_orders(output, baseline.answer)


if __name__ == "__main__":
    main()
