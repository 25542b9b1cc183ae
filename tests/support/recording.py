"""What a Prometheus saw: each panel of the dashboard over time, and the course of each alert."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from patience import PATIENCE_S
from scraping import Prometheus

_LOOK_S = 0.25
_POINTS = 120


@dataclass
class Course:
    """One alert of one job: when it was first seen pending, firing, and gone again, in seconds
    since 1970; None where it was not."""

    alert: str
    job: str
    severity: str
    pending: float
    firing: float | None = None
    quiet: float | None = None


@dataclass
class Fault:
    """What was broken, and from when to when, in seconds since 1970."""

    name: str
    start: float
    end: float = 0.0


class AlertLog:
    """What `/api/v1/alerts` says, looked at four times a second."""

    def __init__(self, prometheus: Prometheus) -> None:
        self._prometheus = prometheus
        self.courses: list[Course] = []

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """For as long as the context lasts."""
        task = asyncio.create_task(self._keep())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def fires(self, alert: str, within_s: float) -> None:
        """Wait until it does."""
        await self._until(lambda each: each.firing is not None, alert, within_s)

    async def goes_quiet(self, alert: str) -> None:
        """Wait until it does for every job."""
        await self._until(lambda each: each.quiet is not None, alert, PATIENCE_S)

    async def _until(self, said: Any, alert: str, within_s: float) -> None:
        deadline = time.monotonic() + within_s
        while True:
            found = [each for each in self.courses if each.alert == alert]
            if found and all(map(said, found)):
                return
            assert time.monotonic() < deadline, (alert, found)
            await asyncio.sleep(_LOOK_S)

    async def _keep(self) -> None:
        while True:
            told = await asyncio.to_thread(self._prometheus.ask, "alerts")
            self._note(time.time(), told["alerts"])
            await asyncio.sleep(_LOOK_S)

    def _note(self, now: float, told: list[dict[str, Any]]) -> None:
        active = {
            (each["labels"]["alertname"], each["labels"].get("job", "")): each for each in told
        }
        going_on = {(each.alert, each.job): each for each in self.courses if each.quiet is None}
        for key in going_on.keys() - active.keys():
            going_on[key].quiet = now
        for key, each in active.items():
            if key not in going_on:
                going_on[key] = Course(*key, each["labels"]["severity"], now)
                self.courses.append(going_on[key])
            if each["state"] == "firing" and going_on[key].firing is None:
                going_on[key].firing = now


def panel_rows(
    prometheus: Prometheus, dashboard: dict[str, Any], start: float, end: float, rate: str
) -> list[dict[str, Any]]:
    """The dashboard's rows with what each panel's expressions gave.

    rate: what Grafana would put for $__rate_interval.
    """
    rows: list[dict[str, Any]] = []
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            rows.append({"title": panel["title"], "panels": []})
            continue
        lines = []
        for target in panel["targets"]:
            asked = {
                "query": target["expr"].replace("$__rate_interval", rate),
                "start": start,
                "end": end,
                "step": max(1.0, (end - start) / _POINTS),
            }
            for series in prometheus.ask(f"query_range?{urlencode(asked)}")["result"]:
                told = {"legend": target["legendFormat"], "labels": series["metric"]}
                lines.append({**told, "points": series["values"]})
        kept = {name: panel[name] for name in ("title", "type", "description")}
        unit = panel["fieldConfig"]["defaults"]["unit"]
        rows[-1]["panels"].append({**kept, "unit": unit, "lines": lines})
    return rows


def write_recording(path: Path, **parts: Any) -> None:
    """For tools/panels.py."""
    path.write_text(json.dumps(parts, default=asdict))
