"""Counters that servers tell Prometheus."""

from collections import Counter
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families


def counted(metrics: str, name: str, *labels: str) -> Counter[tuple[str, ...]]:
    """A counter's values at `host:port`, by the values of the labels; none that is 0."""
    with urlopen(f"http://{metrics}/metrics", timeout=30) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    found: Counter[tuple[str, ...]] = Counter()
    for sample in (sample for family in families for sample in family.samples):
        if sample.name == name:
            found[tuple(sample.labels[label] for label in labels)] += int(sample.value)
    return +found
