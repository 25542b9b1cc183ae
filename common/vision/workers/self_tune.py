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
_CPU = "CPUExecutionProvider"


@dataclass(frozen=True, slots=True)
class Crew:
    """Worker processes and the threads of each one's models, or of those that they share. because:
    how that came to be."""

    workers: int
    threads: int
    because: str
    shared: bool = False

    def __str__(self) -> str:
        threads = "threads of the models they share" if self.shared else "threads of each"
        return f"workers: {self.workers}, {threads}: {self.threads} ({self.because})"


def usable_cores() -> int:
    """CPU cores that this process may use, where the system tells."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def choose_crew(settings: EngineSettings, cores: int) -> Crew:
    """What is set; else what the providers and a trial with the pack's detector show, which takes
    up to some seconds."""
    has_models = settings.kind in ("auto", "onnx") and bool(settings.pack)
    if has_models and settings.shared_models == "yes":
        return sharing_crew(settings, cores, "as set")
    crew = crew_as_set(settings, cores)
    # Which providers work, and so whether they share models, only the other process finds out.
    told = settings.shared_models == "no" or settings.providers == [_CPU]
    if not has_models or (told and crew):
        return crew or Crew(cores, 1, "one a core")
    try:
        return _try(settings, cores)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        # Whatever is wrong with the pack, the workers say it better.
        logger.info("no trial: %s", error, extra={"action": "self_tune_failed"})
        return crew or Crew(cores, 1, "one a core, no trial was possible")


def sharing_crew(settings: EngineSettings, cores: int, because: str) -> Crew:
    """Workers that only decode and cut out, one a core, beside models that they share."""
    return Crew(settings.workers or cores, settings.threads or cores, because, shared=True)


def crew_as_set(settings: EngineSettings, cores: int) -> Crew | None:
    """What the settings say, for workers with models of their own, if they do; one core leaves no
    choice."""
    if settings.workers:
        return Crew(settings.workers, settings.threads or 1, "as set")
    if settings.threads:
        return Crew(max(cores // settings.threads, 1), settings.threads, "threads as set")
    return Crew(1, 1, "one a core") if cores == 1 else None


def _try(settings: EngineSettings, cores: int) -> Crew:
    question = json.dumps({"settings": settings.model_dump(mode="json"), "cores": cores})
    path = f"import sys; sys.path[:] = {sys.path!r}"
    entry = f"{path}; from common.vision.workers.trial import main; main()"
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
