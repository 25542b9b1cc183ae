"""Alerts and dashboard, held against Prometheus' own tools and a standalone under load.

Needs prometheus and promtool (Debian: `apt-get install prometheus`); what needs them is skipped
where they are absent.
"""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import facepass
import grpc
import pytest
import yaml
from facepass.v1 import searcher_pb2, searcher_pb2_grpc
from patience import PATIENCE_S
from scraping import Prometheus, prometheus

from common.vision.fake.photos import fake_photo

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
RULES = DEPLOY / "prometheus/alerts.yml"
DASHBOARD = json.loads((DEPLOY / "grafana/facepass.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
RATE_INTERVAL = "30s"
LOAD_S = 8.0
START_S = 2 * PATIENCE_S
pytestmark = [pytest.mark.takes(24), pytest.mark.timeout(5 * PATIENCE_S)]


def alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    return list(group["rules"])


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed (Debian: apt-get install prometheus)")
    return found


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "rules", "alerts.yml"),
        ("check", "config", "prometheus.yml"),
        ("check", "config", "several.yml"),
        ("test", "rules", "alerts_test.yml"),
    ],
    ids=" ".join,
)
def test_promtool_is_content(promtool: str, arguments: tuple[str, ...]) -> None:
    done = subprocess.run(
        [promtool, *arguments], cwd=DEPLOY / "prometheus", capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_is_seen_to_fire_and_to_be_quiet() -> None:
    cases = yaml.safe_load((DEPLOY / "prometheus/alerts_test.yml").read_text())["tests"]
    seen = {
        (case["alertname"], bool(case.get("exp_alerts")))
        for test in cases
        for case in test["alert_rule_test"]
    }
    assert seen == {(rule["alert"], fires) for rule in alerts() for fires in (True, False)}


def test_each_alert_has_a_section_that_says_what_to_do() -> None:
    page = (ROOT / "docs/operations.md").read_text()
    sections = re.findall(r"^### (Facepass\w+)\n\n(.+?)(?=^#|\Z)", page, re.MULTILINE | re.DOTALL)
    assert {name for name, text in sections if len(text) > 150} == {r["alert"] for r in alerts()}
    for rule in alerts():
        anchor = rule["alert"].lower()
        assert rule["annotations"]["runbook_url"] == f"docs/operations.md#{anchor}"


def metrics_in(expression: str) -> set[str]:
    """The metrics of ours that an expression names, less what a histogram's series add."""
    named = re.findall(r"\bfacepass_\w+", expression)
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in named}


def test_alerts_and_panels_name_metrics_that_there_are() -> None:
    page = (ROOT / "docs/operations.md").read_text()
    known = set(re.findall(r"^\| `(facepass_\w+)", page, re.MULTILINE))
    panels = [target["expr"] for panel in PANELS for target in panel["targets"]]
    used = set().union(*map(metrics_in, [*panels, *(rule["expr"] for rule in alerts())]))
    assert len(used) > 30 and used <= known


@pytest.fixture(scope="module")
def standalone() -> Iterator[dict[str, str]]:
    """The addresses of a standalone in a process of its own."""
    # Not below pytest's own folder: Postgres' user, when we are root, may not pass through it.
    folder = Path(tempfile.mkdtemp(prefix="facepass-monitoring-"))
    folder.chmod(0o711)
    ready, log = folder / "ready.json", folder / "log"
    command = [sys.executable, "-m", "standalone", "standalone", f"--data-dir={folder / 'data'}"]
    command += [f"--ready-file={ready}"]
    for server in ("indexer", "searcher"):
        command += [f"--{server}-listen=127.0.0.1:0", f"--{server}-metrics-listen=127.0.0.1:0"]
    settings = {"ENGINE__KIND": "fake", "ENGINE__WORKERS": "1", "SEARCHER__MAX_SEARCHES": "2"}
    environment = {f"FACEPASS_{name}": value for name, value in settings.items()}
    with log.open("w") as sink:
        process = subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=sink, stderr=sink
        )
    try:
        until = time.monotonic() + START_S
        while not ready.exists():
            assert process.poll() is None and time.monotonic() < until, log.read_text()
            time.sleep(0.1)
        yield json.loads(ready.read_text())
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
        shutil.rmtree(folder)


async def load(addresses: dict[str, str]) -> None:
    """Photos, searches, and more searches at once than are let in, for some seconds."""
    client = facepass.AsyncClient(indexer=addresses["indexer"], searcher=addresses["searcher"])
    async with client, grpc.aio.insecure_channel(addresses["searcher"]) as channel:
        await client.create_event("gala")
        stub = searcher_pb2_grpc.SearcherStub(channel)
        probe = searcher_pb2.Probe(image=fake_photo([1]))
        request = searcher_pb2.SearchRequest(event="events/gala", probes=[probe])
        until, number = time.monotonic() + LOAD_S, 0
        while time.monotonic() < until:
            photos = [
                facepass.PhotoSource(f"photo-{number + n}", fake_photo([n])) for n in range(4)
            ]
            number += 4
            async for _ in client.index_photos("gala", photos):
                pass
            searches = [stub.Search(request) for _ in range(8)]
            await asyncio.gather(*searches, return_exceptions=True)


@pytest.fixture(scope="module")
def scraped(
    standalone: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    """A Prometheus that has seen both servers under load."""
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not installed (Debian: apt-get install prometheus)")
    folder = tmp_path_factory.mktemp("prometheus")
    targets = (standalone["indexer_metrics"], standalone["searcher_metrics"])
    with prometheus(folder, RULES, *targets) as running:
        running.await_targets(2)
        asyncio.run(load(standalone))
        yield running


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_panel_shows_data(scraped: Prometheus, panel: dict[str, Any]) -> None:
    may_be_empty = "Shows only" in panel["description"]
    for target in panel["targets"]:
        expression = target["expr"].replace("$__rate_interval", RATE_INTERVAL)
        assert scraped.query(expression) or may_be_empty, expression


def test_alerts_are_evaluated_and_a_healthy_server_raises_none(scraped: Prometheus) -> None:
    (group,) = scraped.ask("rules")["groups"]
    assert len(group["rules"]) == len(alerts())
    assert {rule["health"] for rule in group["rules"]} == {"ok"}
    assert scraped.query('ALERTS{alertstate="firing"}') == []
