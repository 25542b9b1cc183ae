"""How many workers, of how many threads each.

What is not set is tried out at start, in a process of its own, so that the server itself never
holds onnxruntime.
"""

import json
import logging
import os
import subprocess
import sys
from dataclasses import dataclass

from common.config import EngineSettings

logger = logging.getLogger(__name__)

_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Crew:
    """Worker processes and the threads of each one's models. because: how that came to be."""

    workers: int
    threads: int
    because: str

    def __str__(self) -> str:
        return f"workers: {self.workers}, threads of each: {self.threads} ({self.because})"


def usable_cores() -> int:
    """CPU cores that this process may use, where the system tells."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def choose_crew(settings: EngineSettings, cores: int) -> Crew:
    """What is set; else what a trial with the pack's detector shows. Takes up to some seconds."""
    if settings.workers:
        return Crew(settings.workers, settings.threads or 1, "as set")
    if settings.threads:
        return Crew(max(cores // settings.threads, 1), settings.threads, "threads as set")
    if cores == 1 or settings.kind not in ("auto", "onnx") or not settings.pack:
        return Crew(cores, 1, "one a core")
    try:
        return _try(settings, cores)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        # Whatever is wrong with the pack, the workers say it better.
        logger.info("no trial: %s", error, extra={"action": "self_tune_failed"})
        return Crew(cores, 1, "one a core, no trial was possible")


def _try(settings: EngineSettings, cores: int) -> Crew:
    question = json.dumps({"settings": settings.model_dump(mode="json"), "cores": cores})
    entry = f"import sys; sys.path[:] = {sys.path!r}; from common.vision.trial import main; main()"
    run = subprocess.run(
        [sys.executable, "-P", "-c", entry],
        input=question,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        timeout=_TIMEOUT_S,
        check=True,
    )
    crew = Crew(**json.loads(run.stdout.strip().rpartition("\n")[2]))
    logger.info(str(crew), extra={"action": "self_tuned"})
    return crew
