"""What `/metrics` of both servers tells, held against docs/operations.md."""

import asyncio
import re
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from facepass.v1 import events_pb2, indexer_pb2, searcher_pb2
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from common.vision.fake.photos import fake_photo

OPERATIONS = Path(__file__).resolve().parents[2] / "docs/operations.md"
ROW = re.compile(r"^\| `(facepass_\w+)(?:\{([\w,]+)\})?` \| (\w+) \| (.+?) \|$", re.MULTILINE)
BOUNDED = {
    "code", "kind", "le", "lane", "limit", "method", "model", "outcome", "phase", "quota", "reason",
    "result", "sink", "source", "stage", "state", "tier", "usable",
}  # fmt: skip
"""Labels whose values are named in the code. Anything that a caller chooses has no place here."""
ABOUT = {"facepass_build_info", "facepass_engine_info"}
"""One series each, that says what runs."""


async def look(server: Any) -> dict[str, Metric]:
    """A server's own metrics, by name."""

    def fetch() -> str:
        with urlopen(f"http://127.0.0.1:{server.metrics_port}/metrics", timeout=10) as answer:
            return str(answer.read().decode())

    families = text_string_to_metric_families(await asyncio.to_thread(fetch))
    # The client writes one more family for the time at which each of these was made.
    return {f.name: f for f in families if f.name.startswith("facepass_")}


def shown(metric: Metric) -> str:
    """Its name as one asks for it."""
    return f"{metric.name}_total" if metric.type == "counter" else metric.name


@pytest.fixture
async def told(servers: Any) -> list[Metric]:
    """Everything that both servers tell after a photo and a search."""
    await servers.events.CreateEvent(events_pb2.CreateEventRequest(event_id="gala"))
    await servers.indexer.IndexPhoto(
        indexer_pb2.IndexPhotoRequest(
            config=indexer_pb2.IndexPhotosConfig(event="events/gala"),
            photo=indexer_pb2.PhotoHeader(photo_id="1"),
            content=fake_photo([1]),
        )
    )
    probe = searcher_pb2.Probe(image=fake_photo([1]))
    await servers.searcher.Search(searcher_pb2.SearchRequest(event="events/gala", probes=[probe]))
    both = [await look(servers.indexer_server), await look(servers.searcher_server)]
    return [metric for each in both for metric in each.values()]


async def test_the_page_names_each_with_its_type_and_meaning(told: list[Metric]) -> None:
    rows = {name: (kind, meaning) for name, _, kind, meaning in ROW.findall(OPERATIONS.read_text())}
    for metric in told:
        # The client tells when it began with each of some, which nobody needs.
        if not metric.name.endswith("_created"):
            assert rows.get(shown(metric)) == (metric.type, metric.documentation), shown(metric)


async def test_no_label_is_for_callers_to_fill(told: list[Metric]) -> None:
    for metric in told:
        if metric.name not in ABOUT:
            labels = {label for sample in metric.samples for label in sample.labels}
            assert labels <= BOUNDED, metric.name


async def test_readiness_and_connections_are_told(told: list[Metric], servers: Any) -> None:
    for server in (servers.indexer_server, servers.searcher_server):
        metrics = await look(server)
        assert metrics["facepass_ready"].samples[0].value == 1
        assert metrics["facepass_database_connections_limit"].samples[0].value == 5
        states = metrics["facepass_database_connections"].samples
        assert 1 <= sum(sample.value for sample in states) <= 5
        waits = metrics["facepass_database_wait_seconds"].samples
        assert [s.value >= 1 for s in waits if s.name.endswith("_count")] == [True]
        (build,) = metrics["facepass_build_info"].samples
        assert all(build.labels[name] for name in ("version", "python", "onnxruntime"))


async def test_a_photo_is_timed_to_its_answer(told: list[Metric], servers: Any) -> None:
    seconds = (await look(servers.indexer_server))["facepass_photo_seconds"].samples
    assert [s.value for s in seconds if s.name.endswith("_count")] == [1]
