"""Metrics of the workers, read from the pool when they are asked for.

A pool that two servers of one process share is told by one of them (in the standalone the Indexer):
told twice, every sum over servers would count it twice.
"""

from collections.abc import Iterable
from math import inf

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from common.metrics import BATCH_BUCKETS, Metrics
from common.vision.types import Vision
from common.vision.workers.workload import DeviceLoad, ModelLoad


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
        if load.device:
            yield from _of_device(load.device, load.devices_replaced)


def _of_device(load: DeviceLoad, replaced: int) -> Iterable[Metric]:
    """Of models that the workers share."""
    yield CounterMetricFamily(
        "facepass_device_busy_seconds", "Time that shared models had something to run", load.busy_s
    )
    yield CounterMetricFamily(
        "facepass_devices_replaced", "Processes with shared models that died", replaced
    )
    items = HistogramMetricFamily(
        "facepass_device_batch_items",
        "Canvases or faces of one run of a shared model",
        labels=["model"],
    )
    places = CounterMetricFamily(
        "facepass_device_batch_places",
        "Places of all its batches: what is no item is padding",
        labels=["model"],
    )
    for name, model in load.models.items():
        items.add_metric([name], _buckets(model), model.items)
        places.add_metric([name], model.places)
    yield items
    yield places


def _buckets(model: ModelLoad) -> list[tuple[str, float]]:
    """Runs of at most so many items, as Prometheus wants them."""
    bounds = [*((str(float(most)), most) for most in BATCH_BUCKETS), ("+Inf", inf)]
    return [
        (name, sum(n for items, n in model.runs.items() if items <= most)) for name, most in bounds
    ]
