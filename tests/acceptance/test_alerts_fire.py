"""What breaks raises its alert in a real Prometheus, which is quiet again once it is mended.

Each `for` of deploy/prometheus/alerts.yml is a twelfth of what it says there; what it says, in the
long profile. FACEPASS_TEST_RECORDING names a file for all that was seen, from which tools/panels.py
draws the dashboard (`make panels`).
"""

import asyncio
import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
import yaml
from busy_day import BusyDay, Material, Step
from patience import PATIENCE_S
from postgres_family import PostgresFamily
from recording import AlertLog, Fault, panel_rows, write_recording
from scraping import prometheus
from server_process import ServerProcess, Started, free_ports

from standalone.embedded import EmbeddedPostgres

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "deploy/prometheus/alerts.yml"
DASHBOARD = json.loads((ROOT / "deploy/grafana/facepass.json").read_text())
LONG = os.environ.get("FACEPASS_TEST_PROFILE") == "long"
SHARE = 1.0 if LONG else 1 / 12
"""Of each alert's `for`."""
CALM_S = 90.0 if LONG else 10.0
"""Before, between and after faults."""
RATE_INTERVAL = "30s"
MAX_DATABASE_BYTES = 96 * 1024 * 1024
FILL = "CREATE UNLOGGED TABLE ballast AS SELECT repeat('x', 100) FROM generate_series(1, 1000000)"
VARIABLES = {
    "SEARCHER__MAX_SEARCHES": "3",
    "PROMOTION__HNSW_MIN_FACES": "30",
    "PROMOTION__INTERVAL_S": "2",
    "PROMOTION__RECALL_INTERVAL_S": "20",
    "GALLERY__MEMORY_BYTES": "40000",
    "STORAGE__MAX_DATABASE_BYTES": str(MAX_DATABASE_BYTES),
    "ERASURE__BACKUP_RETENTION_DAYS": "30",
}
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


@dataclass
class Place:
    """A standalone that can be broken, and what Prometheus says of it."""

    server: ServerProcess
    run: Started
    family: PostgresFamily
    data: Path
    alerts: AlertLog
    faults: list[Fault]

    async def suffer(self, name: str, harm: Step, mend: Step, *alerts: str) -> None:
        """Break something, wait until all of the alerts fire, mend it, wait until none does."""
        fault = Fault(name, time.time())
        self.faults.append(fault)
        await harm()
        try:
            waits = (self.alerts.fires(each, _for(each) + PATIENCE_S) for each in alerts)
            await asyncio.gather(*waits)
        finally:
            fault.end = time.time()
            await mend()
        await asyncio.gather(*map(self.alerts.goes_quiet, alerts))


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not below pytest's own folder: Postgres' user, when we are root, may not pass through it."""
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not installed (Debian: apt-get install prometheus)")
    made = Path(tempfile.mkdtemp(prefix="facepass-alerts-"))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def material() -> Material:
    """Real photos and a pack where they are there, else drawn ones."""
    photos = Path(os.environ.get("FACEPASS_TEST_PHOTOS") or ROOT.parent / "shared/photos")
    packs = Path(os.environ.get("FACEPASS_TEST_PACKS") or ROOT.parent / "shared/models")
    pack = packs / "scrfd25g-mbf128"
    return Material.real(photos, pack) if photos.is_dir() and pack.is_dir() else Material.drawn()


def _rules() -> list[dict[str, str]]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    return list(group["rules"])


def _for(alert: str) -> float:
    """Seconds that it is pending here."""
    (said,) = (each.get("for", "0s") for each in _rules() if each["alert"] == alert)
    return int(said[:-1]) * {"s": 1, "m": 60, "h": 3600}[said[-1]] * SHARE


def shortened(folder: Path) -> Path:
    """The rules with their shorter `for`."""
    rules = [{**each, "for": f"{_for(each['alert']):.0f}s"} for each in _rules()]
    path = folder / "alerts.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "facepass", "rules": rules}]}))
    return path


async def hang_postgres(place: Place) -> None:
    family = place.family
    # The postmaster first, who makes the others.
    stopped = [*family.postmasters(), *family.processes()]

    async def harm() -> None:
        for process in stopped:
            process.send_signal(signal.SIGSTOP)

    async def mend() -> None:
        for process in reversed(stopped):
            process.send_signal(signal.SIGCONT)

    alerts = ("FacepassDatabaseUnavailable", "FacepassNotReady")
    await place.suffer("Postgres hangs (SIGSTOP to all its processes)", harm, mend, *alerts)


async def fill_database(place: Place) -> None:
    postgres = EmbeddedPostgres(place.data)
    postgres.attach()
    owner = await asyncpg.connect(postgres.owner_dsn)

    async def harm() -> None:
        await owner.execute(FILL)

    async def mend() -> None:
        await owner.execute("DROP TABLE ballast")

    name = "the database grows past FACEPASS_STORAGE__MAX_DATABASE_BYTES"
    await place.suffer(name, harm, mend, "FacepassIngestRefused")
    await owner.close()


async def kill_servers(place: Place) -> None:
    async def harm() -> None:
        place.run.kill()

    async def mend() -> None:
        place.run = place.server.start()
        await place.run.ready()

    name = "both servers are killed (SIGKILL), and started again"
    await place.suffer(name, harm, mend, "FacepassDown")


async def test_what_breaks_raises_its_alert(folder: Path, material: Material) -> None:
    indexer, searcher = (f"127.0.0.1:{port}" for port in free_ports(2))
    arguments = [f"--indexer-metrics-listen={indexer}", f"--searcher-metrics-listen={searcher}"]
    data = folder / "data"
    variables = {**VARIABLES, **material.engine, "BACKUP__FOLDER": str(folder / "backups")}
    server = ServerProcess(
        "standalone", folder, f"--data-dir={data}", *arguments, variables=variables
    )
    run = server.start()
    try:
        await run.ready()
        with prometheus(folder, shortened(folder), indexer, searcher) as watching:
            await asyncio.to_thread(watching.await_targets, 2)
            alerts, start = AlertLog(watching), time.time()
            place = Place(server, run, PostgresFamily(data), data, alerts, [])
            async with BusyDay(server.indexer, server.searcher, material).going_on(), alerts.kept():
                await asyncio.sleep(CALM_S)
                for fault in (hang_postgres, fill_database, kill_servers):
                    await fault(place)
                    await asyncio.sleep(CALM_S / 2)
                # Rates over five minutes need as long to forget.
                await asyncio.sleep(CALM_S)
            if recording := os.environ.get("FACEPASS_TEST_RECORDING"):
                span = (start, time.time())
                rows = panel_rows(watching, DASHBOARD, *span, RATE_INTERVAL)
                write_recording(
                    Path(recording), span=span, share=SHARE, rows=rows, faults=place.faults,
                    alerts=alerts.courses,
                )  # fmt: skip
    finally:
        server.end()
    fired = [(each.alert, each.job) for each in alerts.courses if each.firing is not None]
    for alert in ("FacepassDatabaseUnavailable", "FacepassNotReady", "FacepassDown"):
        for job in ("facepass-indexer", "facepass-searcher"):
            assert fired.count((alert, job)) == 1
    assert fired.count(("FacepassIngestRefused", "facepass-indexer")) == 1
    assert "FacepassWallDown" not in dict(fired)
