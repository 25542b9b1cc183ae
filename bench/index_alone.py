"""One worker's stages without servers: decode, detect and embed in one thread, one photo after the
other.

usage: python -m bench.index_alone PACK     takes orders, see `bench.index_child`
"""

import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, thread_time
from typing import Any

import cv2
import numpy as np
import onnxruntime

from bench.index_child import own_output, serve_orders, tell
from common.config import EngineSettings, ImageLimits
from common.vision.images.picture import Picture
from common.vision.types import Analysis, AnalyzeOptions, QualityFilter
from common.vision.workers import worker
from common.vision.workers.messages import Task

EVERY_FACE = AnalyzeOptions(quality_filter=QualityFilter.NONE, max_faces=1000)
_LIMITS = ImageLimits()


class ModelTime:
    """CPU seconds inside onnxruntime, of all sessions of this process."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._run: Callable[..., Any] = onnxruntime.InferenceSession.run
        timed = self._timed

        def run(session: Any, *arguments: Any, **options: Any) -> Any:
            return timed(session, *arguments, **options)

        onnxruntime.InferenceSession.run = run

    def _timed(self, *arguments: Any, **options: Any) -> Any:
        started = thread_time()
        try:
            return self._run(*arguments, **options)
        finally:
            self.seconds += thread_time() - started


class Alone:
    """What a worker process does, in this one."""

    def __init__(self, pack: str) -> None:
        self._models = ModelTime()
        settings = EngineSettings(kind="onnx", pack=pack, providers=["CPUExecutionProvider"])
        self._engine = worker._load(settings)

    def answer(self, order: dict[str, Any]) -> object:
        """`stages`: seconds of each stage; `imdecode`: of OpenCV's decoder on the same photos;
        `faces`: what is found in each, `whole`: with all of it decoded at full size."""
        contents = [Path(photo).read_bytes() for photo in order["photos"]]
        if order["do"] == "stages":
            return self._stages(contents)
        if order["do"] == "faces":
            found = [self._faces(content, whole=order["whole"]) for content in contents]
            return dict(zip(order["photos"], found, strict=True))
        return {"seconds": _imdecode(contents)}

    def _stages(self, contents: list[bytes]) -> object:
        """Sums over the photos."""
        self._models.seconds = 0.0
        started = thread_time()
        analyses = [self._analyze(content) for content in contents]
        cpu_s = thread_time() - started
        timings = [analysis.timings for analysis in analyses]
        return {
            "photos": len(contents),
            "faces": sum(len(analysis.faces) for analysis in analyses),
            "decode_s": sum(each.decode_ms for each in timings) / 1000,
            "detect_s": sum(each.detect_ms for each in timings) / 1000,
            "embed_s": sum(each.embed_ms for each in timings) / 1000,
            "models_cpu_s": self._models.seconds,
            "cpu_s": cpu_s,
        }

    def _faces(self, content: bytes, *, whole: bool) -> list[dict[str, Any]]:
        """Corners (left, top, right, bottom) and embedding of each face."""
        picture = Picture.open(content, _LIMITS, max_bytes=_LIMITS.max_photo_bytes)
        if whole:
            picture.view()
        faces = self._engine.analyze(picture, EVERY_FACE).faces
        boxes = [face.detection.box for face in faces]
        return [
            {
                "corners": [box.x, box.y, box.x + box.width, box.y + box.height],
                "embedding": None if face.embedding is None else face.embedding.tolist(),
            }
            for face, box in zip(faces, boxes, strict=True)
        ]

    def _analyze(self, content: bytes) -> Analysis:
        task = Task(1, content, EVERY_FACE, _LIMITS.max_photo_bytes)
        answer = worker._answer(self._engine, _LIMITS, task)
        if not isinstance(answer, Analysis):
            raise RuntimeError(f"a photo was not analysed: {answer}")
        return answer


def _imdecode(contents: list[bytes]) -> float:
    started = perf_counter()
    for content in contents:
        cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    return perf_counter() - started


def main() -> None:
    """Load the pack, say so, then take orders."""
    output = own_output()
    alone = Alone(sys.argv[1])
    tell(output, {"ready": True})
    serve_orders(output, alone.answer)


if __name__ == "__main__":
    main()
