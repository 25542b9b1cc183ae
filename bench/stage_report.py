"""Which stage limits indexing, from two looks at a running Indexer's metrics.

usage: python -m bench.stage_report [--metrics HOST:PORT] [--seconds N]     while photos come in
"""

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from common.vision.workers.device_line import Model

IN_WORKERS = ("decode", "detect", "embed")
STAGES = ("queue", *IN_WORKERS, "commit")
DEVICE_BUSY = "facepass_device_busy_seconds_total"
SHARED_MODELS = tuple(model.value for model in Model)
_HARDLY_IDLE = 0.8
"""Share of the time from which on something that works counts as what holds the rest up."""

_Key = tuple[str, frozenset[tuple[str, str]]]


@dataclass(frozen=True, slots=True)
class Scrape:
    """All values of one look at `/metrics`. at_s: seconds of a clock that only counts."""

    at_s: float
    values: Mapping[_Key, float]

    def value(self, name: str, **labels: str) -> float:
        """One value; 0 for what has not happened yet."""
        return self.values.get((name, frozenset(labels.items())), 0.0)

    def has(self, name: str) -> bool:
        """Whether there is a value without labels."""
        return (name, frozenset()) in self.values


@dataclass(frozen=True, slots=True)
class StageTime:
    """One stage of the photos that were answered. share: of the workers' time, where in them."""

    name: str
    mean_ms: float
    share: float


@dataclass(frozen=True, slots=True)
class BatchFill:
    """How full the batches of a shared model were. share: of their places."""

    model: str
    items_per_run: float
    share: float


@dataclass(frozen=True, slots=True)
class StageReport:
    """What became of the time between two scrapes.

    workers_share, writer_share, server_share: how much of it the workers, the commits and the
    server's own process were busy; the latter may pass 1, its threads run besides one another.
    device_share: how much of it models that the workers share had something to run, None where
    there are none; fills: how full their batches were, by model.
    ideal_per_s: photos a second if the workers did nothing but their stages all the time.
    """

    seconds: float
    photos: float
    faces: float
    workers: float
    stages: Sequence[StageTime]
    workers_share: float
    writer_share: float
    server_share: float
    photos_per_commit: float
    ideal_per_s: float
    photos_waiting: float
    device_share: float | None = None
    fills: Sequence[BatchFill] = ()

    @property
    def photos_per_s(self) -> float:
        return self.photos / self.seconds

    @property
    def limit(self) -> str:
        """What the others wait for."""
        shares = {
            "workers": self.workers_share,
            "commits": self.writer_share,
            "server process": self.server_share,
        }
        # Workers count as busy while they wait for it.
        if self.device_share is not None and self.device_share >= _HARDLY_IDLE:
            return "device"
        busiest = max(shares, key=lambda name: shares[name])
        if shares[busiest] < _HARDLY_IDLE:
            return "nothing here: photos come too slowly"
        if busiest != "workers":
            return busiest
        longest = max(self.stages, key=lambda stage: stage.share)
        return f"workers, by {longest.name}"

    def text(self) -> str:
        """Some lines for a person."""
        lines = [
            f"{self.photos_per_s:.1f} photos/s, {self.faces / self.seconds:.1f} faces/s, "
            f"{_percent(self._of_ideal)} of the {self.ideal_per_s:.1f} photos/s of "
            f"{self.workers:.0f} workers that never wait",
            f"limit: {self.limit}",
            f"busy: workers {_percent(self.workers_share)}, commits {_percent(self.writer_share)} "
            f"({self.photos_per_commit:.1f} photos each), server process "
            f"{_percent(self.server_share)} of a core; {self.photos_waiting:.0f} photos waiting",
        ]
        for stage in self.stages:
            share = f"  {_percent(stage.share)} of the workers' time" if stage.share else ""
            lines.append(f"  {stage.name:7} {stage.mean_ms:8.1f} ms a photo{share}")
        if self.device_share is not None:
            lines.append(f"device: busy {_percent(self.device_share)}")
        for fill in self.fills:
            lines.append(
                f"  {fill.model}: {fill.items_per_run:.1f} items a run, "
                f"{_percent(fill.share)} of its places"
            )
        return "\n".join(lines)

    @property
    def _of_ideal(self) -> float:
        return self.photos_per_s / self.ideal_per_s if self.ideal_per_s else 0.0


def scrape(address: str) -> Scrape:
    """Look at the metrics of a server. address: `host:port` of its metrics."""
    with urlopen(f"http://{address}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    values = {
        (sample.name, frozenset(sample.labels.items())): float(sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    return Scrape(time.perf_counter(), values)


def report(before: Scrape, after: Scrape) -> StageReport:
    """What became of the time between them."""
    seconds = after.at_s - before.at_s

    def grown(name: str, **labels: str) -> float:
        return after.value(name, **labels) - before.value(name, **labels)

    workers = after.value("facepass_workers")
    spent = {name: grown("facepass_stage_seconds_sum", stage=name) for name in STAGES}
    counts = {name: grown("facepass_stage_seconds_count", stage=name) for name in STAGES}
    worked = sum(spent[name] for name in IN_WORKERS)
    commits = grown("facepass_commit_photos_count")
    return StageReport(
        seconds=seconds,
        photos=grown("facepass_photos_total", state="INDEXED"),
        faces=grown("facepass_faces_indexed_total"),
        workers=workers,
        stages=[
            StageTime(
                name,
                1000 * spent[name] / max(1.0, counts[name]),
                spent[name] / (workers * seconds) if workers and name in IN_WORKERS else 0.0,
            )
            for name in STAGES
        ],
        workers_share=grown("facepass_worker_busy_seconds_total") / max(1.0, workers) / seconds,
        writer_share=grown("facepass_commit_seconds_sum") / seconds,
        server_share=grown("process_cpu_seconds_total") / seconds,
        photos_per_commit=grown("facepass_commit_photos_sum") / max(1.0, commits),
        ideal_per_s=workers * counts["detect"] / worked if worked else 0.0,
        photos_waiting=after.value("facepass_images_waiting", lane="photos"),
        device_share=grown(DEVICE_BUSY) / seconds if after.has(DEVICE_BUSY) else None,
        fills=[
            BatchFill(model, items / runs, items / places)
            for model in SHARED_MODELS
            if (runs := grown("facepass_device_batch_items_count", model=model))
            if (items := grown("facepass_device_batch_items_sum", model=model))
            if (places := grown("facepass_device_batch_places_total", model=model))
        ],
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def main() -> None:
    """Look twice and print what became of the time between."""
    parser = argparse.ArgumentParser(description="Say which stage limits indexing.")
    parser.add_argument("--metrics", default="127.0.0.1:9101", metavar="HOST:PORT")
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    before = scrape(options.metrics)
    time.sleep(options.seconds)
    print(report(before, scrape(options.metrics)).text())


if __name__ == "__main__":
    main()
