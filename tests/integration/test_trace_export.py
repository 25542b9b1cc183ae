"""Sending spans: to a collector that is there, away, or silent."""

import asyncio
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from authority import CertificateAuthority
from otlp import collector
from patience import PATIENCE_S, until
from server_process import free_ports

from common.config import TraceSettings
from common.errors import SetupError
from common.metrics import Metrics
from common.rpc.tracing import tracing
from common.traces.tracer import Tracer


def outcomes(metrics: Metrics) -> dict[str, float]:
    """How many spans came to what."""
    (family,) = metrics.spans.collect()
    return {s.labels["outcome"]: s.value for s in family.samples if s.name.endswith("_total")}


def trace(tracer: Tracer, count: int) -> None:
    """Trace so many calls that did nothing, a span each."""
    for _ in range(count):
        span = tracer.call("/facepass.v1.Searcher/Search", ())
        assert span is not None
        span.end(span.start_ns)


async def test_a_collector_that_is_away_costs_its_spans_and_one_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    (port,) = free_ports(1)
    metrics, settings = Metrics(), TraceSettings(endpoint=f"http://127.0.0.1:{port}")
    async with tracing(settings, "facepass-test", metrics) as tracer:
        assert tracer is not None
        trace(tracer, 1)
        await until(lambda: outcomes(metrics)["failed"] == 1)
        trace(tracer, 1)
        await until(lambda: outcomes(metrics)["failed"] == 2)
        async with collector(port=port) as received:
            # gRPC waits before it connects again, longer each time.
            while not received.spans:
                trace(tracer, 1)
                await asyncio.sleep(0.2)
            await until(lambda: outcomes(metrics)["sent"] > 0)
    told = [record.levelname for record in caplog.records if "traces" in record.message]
    assert told == ["WARNING", "INFO"]


async def test_spans_that_wait_are_bounded_and_the_end_does_not_wait_for_them() -> None:
    """A collector that takes calls and never answers."""

    async def hold(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ended.wait()
        writer.close()

    ended = asyncio.Event()
    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    metrics, settings = Metrics(), TraceSettings(endpoint=f"http://127.0.0.1:{port}")
    async with asyncio.timeout(PATIENCE_S):
        async with tracing(settings, "facepass-test", metrics) as tracer:
            assert tracer is not None
            trace(tracer, 10_000)
            dropped = outcomes(metrics)["dropped"]
            assert 0 < dropped < 10_000
    assert sum(outcomes(metrics).values()) == 10_000
    assert outcomes(metrics)["sent"] == 0
    ended.set()
    server.close()
    await server.wait_closed()


async def test_headers_and_tls(tmp_path: Path) -> None:
    authority = CertificateAuthority("ours")
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    (tmp_path / "headers").write_text("Authorization: Bearer hush==\nx-tenant: photos\n")
    async with collector(authority.issue("collector")) as received:
        settings = TraceSettings(
            endpoint=f"https://{received.address}",
            ca=str(tmp_path / "ca.pem"),
            headers_file=str(tmp_path / "headers"),
        )
        async with tracing(settings, "facepass-test", Metrics()) as tracer:
            assert tracer is not None
            trace(tracer, 1)
    (metadata,) = received.metadata
    assert (metadata["authorization"], metadata["x-tenant"]) == ("Bearer hush==", "photos")
    (resource,) = received.requests[0].resource_spans
    told = {each.key: each.value.string_value for each in resource.resource.attributes}
    assert told["service.name"] == "facepass-test" and told["service.version"]


@pytest.mark.parametrize(
    ("endpoint", "headers", "why"),
    [
        ("http://collector:4317", "authorization: Bearer hush", "in plain text"),
        ("https://collector:4317", "authorization = Bearer hush", "`name: value` on each line"),
        ("https://collector:4317", "key-bin: hush", "`name: value` on each line"),
        ("https://collector:4317", None, "No such file"),
    ],
)
async def test_headers_that_cannot_be_used(
    tmp_path: Path, endpoint: str, headers: str | None, why: str
) -> None:
    path = tmp_path / "headers"
    if headers is not None:
        path.write_text(headers)
    settings = TraceSettings(endpoint=endpoint, headers_file=str(path))
    with pytest.raises(SetupError, match=why) as wrong:
        async with tracing(settings, "facepass-test", Metrics()):
            pass
    assert wrong.value.message.startswith("FACEPASS_TRACES__HEADERS_FILE: ")
    assert "hush" not in wrong.value.message


async def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "common.rpc.collector", raising=False)
    needed = "opentelemetry.proto.collector.trace.v1.trace_service_pb2"
    monkeypatch.setitem(sys.modules, needed, None)
    settings = TraceSettings(endpoint="http://127.0.0.1:4317")
    with pytest.raises(SetupError, match=r"pip install 'facepass-server\[tracing\]'"):
        async with tracing(settings, "facepass-test", Metrics()):
            pass


def test_nothing_is_imported_where_nothing_is_traced() -> None:
    script = """
import asyncio, sys, standalone.serve
from common.config import TraceSettings
from common.metrics import Metrics
from common.rpc.tracing import tracing
async def main():
    async with tracing(TraceSettings(), "facepass-test", Metrics()) as tracer:
        assert tracer is None
asyncio.run(main())
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (run.stdout, run.returncode) == ("[]\n", 0), run.stderr
