"""The trial behind `self_tune`: its own process, for a moment."""

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np

from common.config import EngineSettings
from common.vision.faces.detector import WHOLE_SIDE
from common.vision.onnx.packs import find_pack
from common.vision.onnx.scrfd import Scrfd, detector_at
from common.vision.onnx.session import Runtime
from common.vision.workers.self_tune import Crew, crew_as_set, sharing_crew

DEVICE_WORKERS = 4
"""Workers with models of their own on one device: each has a copy of them in its memory."""
_ROUNDS = 2
_ROUND_S = 0.25
_MOST_CORES = 8
"""More cores than these are not tried, only filled alike."""
_CLEARLY_BETTER = 1.15


def main() -> None:
    """Answer one question from standard input by one line of JSON."""
    cv2.setNumThreads(1)
    question = json.load(sys.stdin)
    crew = trial(EngineSettings.model_validate(question["settings"]), question["cores"])
    print(json.dumps(asdict(crew)), flush=True)
    os._exit(0)  # the sessions need no tidying up


def trial(settings: EngineSettings, cores: int) -> Crew:
    """The crew that the settings and the providers ask for; else detect on canvases for a moment
    with each crew that fills the cores, and take the fastest.

    Raises PackUnavailable if the pack is not there; nothing is downloaded.
    """
    files = find_pack(settings)
    runtime = Runtime.of(settings)
    if not runtime.on_cpu and settings.shared_models == "auto":
        return sharing_crew(settings, cores, f"they run on {runtime.providers[0]}")
    if crew := crew_as_set(settings, cores):
        return crew
    if not runtime.on_cpu:
        return Crew(min(cores, DEVICE_WORKERS), 1, f"each on {runtime.providers[0]}")
    tried = min(cores, _MOST_CORES)
    crews = {
        threads: _detectors(files.detector, replace(runtime, threads=threads), tried // threads)
        for threads in (1, 2, 4)
        if tried % threads == 0
    }
    # By turns, and the best of each: whatever else the machine does now, it does not all the time.
    rounds = [{n: _rate(crew) for n, crew in crews.items()} for _ in range(_ROUNDS)]
    return fastest({n: max(each[n] for each in rounds) for n in crews}, cores)


def fastest(rates: Mapping[int, float], cores: int) -> Crew:
    """The crew to take. rates: canvases a second by threads of each worker, one among them.

    More threads have to be clearly better: with one, no thread waits for another.
    """
    best = max(rates, key=lambda threads: rates[threads])
    threads = best if rates[best] > _CLEARLY_BETTER * rates[1] else 1
    figures = ", ".join(f"{rate:.1f} with {n}" for n, rate in rates.items())
    return Crew(cores // threads, threads, f"tried: {figures} canvases/s")


def _detectors(model: Path, runtime: Runtime, count: int) -> list[Scrfd]:
    return [detector_at(runtime.load(model, "detection"), WHOLE_SIDE) for _ in range(count)]


def _rate(detectors: Sequence[Scrfd]) -> float:
    """Canvases a second of detectors at once, which run beside one another as processes do."""
    with ThreadPoolExecutor(len(detectors)) as pool:
        started = time.perf_counter()
        until = started + _ROUND_S
        done = sum(pool.map(lambda detector: _detect(detector, until), detectors))
        return done / (time.perf_counter() - started)


def _detect(detector: Scrfd, until: float) -> int:
    """How many canvases one detector does until then."""
    canvas = np.zeros((detector.side, detector.side, 3), np.uint8)
    done = 0
    while time.perf_counter() < until:
        detector.detect([canvas])
        done += 1
    return done
