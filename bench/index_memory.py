"""Memory of the Indexer and its workers, with many large photos and with a crowd on one."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

from bench.figures import Bar, Figure
from bench.ground import Server
from bench.index_photos import CROWD
from bench.index_stage import IndexStage, family

_CLIENTS = 8
_INTERVAL_S = 0.05
_GB = 1e9


@dataclass
class Peak:
    """Most resident memory that was seen."""

    seen_bytes: int = 0


def measure(stage: IndexStage, photos: int) -> list[Figure]:
    """Stream 12-megapixel photos, half as many again, then one photo with a crowd."""
    stage.progress.say(f"memory: {photos} photos of 12 MP from {_CLIENTS} clients")
    server = stage.indexer()
    idle = resident_bytes(server)
    with watched(server) as peak:
        sent = _stream(stage, server, photos)
        first = resident_bytes(server)
        _stream(stage, server, max(_CLIENTS, photos // 2))
    growth = resident_bytes(server) / first
    stage.progress.say("memory: a crowd")
    with watched(server) as crowd_peak:
        crowd = stage.send(server, stage.crowd.files, closely=True)
    note = f"{sent} photos, {_CLIENTS} clients; Indexer and workers, shared pages counted in each"
    return [
        Figure(
            "peak_rss_gb", "peak memory, photos of 12 MP", peak.seen_bytes / _GB, "GB",
            Bar("<=", 2.5), (idle / _GB, peak.seen_bytes / _GB), note,
        ),
        Figure(
            "rss_growth", "memory after half as many again / before them", growth, "x",
            Bar("<=", 1.1),
        ),
        Figure(
            "peak_rss_crowd_gb", "peak memory, one photo with a crowd", crowd_peak.seen_bytes / _GB,
            "GB", Bar("<=", 2.5), note=f"{crowd.faces} of {CROWD} faces found, detail HIGH",
        ),
        Figure("crowd_s", "one photo with a crowd: it took", crowd.seconds, "s"),
    ]  # fmt: skip


def _stream(stage: IndexStage, server: Server, photos: int) -> int:
    files = stage.camera.files
    repeats = -(-photos // len(files))
    return stage.send(server, files, repeats=repeats, clients=_CLIENTS).photos


@contextmanager
def watched(server: Server) -> Iterator[Peak]:
    """Look at the memory again and again for as long as the context lasts."""
    peak, over = Peak(), threading.Event()

    def watch() -> None:
        while not over.wait(_INTERVAL_S):
            peak.seen_bytes = max(peak.seen_bytes, resident_bytes(server))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()
        peak.seen_bytes = max(peak.seen_bytes, resident_bytes(server))


def resident_bytes(server: Server) -> int:
    """Resident memory of a server and its workers, summed up."""
    total = 0
    for process in family(server.pid):
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:  # a worker that was just replaced
            continue
    return total
