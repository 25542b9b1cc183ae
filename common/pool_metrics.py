"""Metrics of the workers, read from the pool when they are asked for.

A pool that two servers of one process share is told by one of them (in the standalone the Indexer):
told twice, every sum over servers would count it twice.
"""

from collections.abc import Iterable

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from common.metrics import Metrics
from common.vision.types import Vision


def observe_workload(metrics: Metrics, vision: Vision) -> None:
    """Have a server's `/metrics` tell what its workers do."""
    metrics.registry.register(_WorkloadCollector(vision))


class _WorkloadCollector(Collector):
    def __init__(self, vision: Vision) -> None:
        self._vision = vision

    def collect(self) -> Iterable[Metric]:
        pack = self._vision.pack
        about = {"engine": pack.engine, "provider": self._vision.provider, "pack": pack.key}
        yield InfoMetricFamily("facepass_engine", "What finds the faces", about)
        load = self._vision.workload
        waiting = GaugeMetricFamily(
            "facepass_images_waiting", "Images that wait for a worker", labels=["lane"]
        )
        waiting.add_metric(["photos"], load.photos_waiting)
        waiting.add_metric(["selfies"], load.selfies_waiting)
        yield waiting
        yield GaugeMetricFamily("facepass_workers", "Worker processes", load.workers)
        yield GaugeMetricFamily("facepass_workers_busy", "Workers that have an image", load.busy)
        yield CounterMetricFamily(
            "facepass_worker_busy_seconds", "Time that workers had an image, summed up", load.busy_s
        )
        yield CounterMetricFamily(
            "facepass_workers_replaced", "Workers that died or took too long", load.replaced
        )
