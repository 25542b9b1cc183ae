"""Metrics of the connections to the database, read from the pool when they are asked for."""

from collections.abc import Iterable

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from common.db.pool import Database
from common.metrics import Metrics


def observe_database(metrics: Metrics, database: Database) -> None:
    """Have a server's `/metrics` tell what its connections do."""
    database.waited = metrics.database_wait_seconds.observe
    metrics.registry.register(_ConnectionCollector(database))


class _ConnectionCollector(Collector):
    def __init__(self, database: Database) -> None:
        self._database = database

    def collect(self) -> Iterable[Metric]:
        load = self._database.load
        connections = GaugeMetricFamily(
            "facepass_database_connections",
            "Connections to the database, by whether a call has them",
            labels=["state"],
        )
        connections.add_metric(["busy"], load.busy)
        connections.add_metric(["idle"], load.idle)
        yield connections
        yield GaugeMetricFamily(
            "facepass_database_connections_limit", "Most connections to the database", load.most
        )
        yield GaugeMetricFamily(
            "facepass_database_waiting", "Calls that wait for a connection", load.waiting
        )
