"""Writes deploy/grafana/facepass.json from the rows of panels below.

usage: dashboard.py [--check]     --check writes nothing and fails when it is stale
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parents[1] / "deploy/grafana/facepass.json"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH, HEIGHT, PANELS_ABREAST = 8, 8, 3
SEARCH = 'method="/facepass.v1.Searcher/Search"'
FAILED = 'code=~"INTERNAL|UNKNOWN|DATA_LOSS|UNAVAILABLE"'


@dataclass(frozen=True)
class Panel:
    """One graph: expressions by their legends.

    only: what must have happened for it to show anything; empty where a busy server always does.
    """

    title: str
    unit: str
    lines: dict[str, str]
    only: str = ""
    kind: str = "timeseries"
    about: str = field(default="")


def per_second(metric: str, by: str = "") -> str:
    grouped = f"sum by ({by})" if by else "sum"
    return f"{grouped} (rate({metric}[$__rate_interval]))"


def quantile(share: float, metric: str, by: str = "", where: str = "") -> str:
    labels = f"le, {by}" if by else "le"
    chosen = f"{{{where}}}" if where else ""
    rates = f"sum by ({labels}) (rate({metric}_bucket{chosen}[$__rate_interval]))"
    return f"histogram_quantile({share}, {rates})"


def quantiles(metric: str, where: str = "") -> dict[str, str]:
    return {f"{share:.0%}": quantile(share, metric, where=where) for share in (0.5, 0.95, 0.99)}


def mean(metric: str, by: str = "") -> str:
    return f"{per_second(f'{metric}_sum', by)} / {per_second(f'{metric}_count', by)}"


ROWS: dict[str, tuple[Panel, ...]] = {
    "Health": (
        Panel("Answers", "short", {"{{job}} {{instance}}": 'up{job=~"facepass.*"}'}, kind="stat"),
        Panel("Ready", "short", {"{{job}} {{instance}}": "facepass_ready"}, kind="stat"),
        Panel(
            "What runs",
            "short",
            {
                "{{job}} {{version}}, Python {{python}}, "
                "onnxruntime {{onnxruntime}}": "facepass_build_info"
            },
            kind="stat",
        ),
        Panel(
            "Calls", "reqps", {"{{job}} {{code}}": per_second("facepass_rpcs_total", "job, code")}
        ),
        Panel(
            "Failed calls",
            "percentunit",
            {
                "{{job}}": f"({per_second(f'facepass_rpcs_total{{{FAILED}}}', 'job')}"
                f" or 0 * {per_second('facepass_rpcs_total', 'job')})"
                f" / {per_second('facepass_rpcs_total', 'job')}"
            },
        ),
        Panel(
            "CPU of the servers",
            "short",
            {"{{job}}": 'rate(process_cpu_seconds_total{job=~"facepass.*"}[$__rate_interval])'},
            about="Cores. Without the workers, whose time is under Workers.",
        ),
        Panel(
            "Memory of the servers",
            "bytes",
            {"{{job}}": 'process_resident_memory_bytes{job=~"facepass.*"}'},
        ),
    ),
    "Searching": (
        Panel("Time of a search", "s", quantiles("facepass_rpc_seconds", SEARCH)),
        Panel("Searches", "reqps", {"{{source}}": per_second("facepass_searches_total", "source")}),
        Panel(
            "Stages, 95 %",
            "s",
            {
                "{{stage}}": quantile(
                    0.95, "facepass_stage_seconds", "stage", 'stage=~"probe|gallery"'
                )
            },
        ),
        Panel("Matches of a search", "short", {"mean": mean("facepass_search_matches")}),
        Panel(
            "Probes", "reqps", {"usable: {{usable}}": per_second("facepass_probes_total", "usable")}
        ),
        Panel(
            "Calls in flight", "short", {"{{method}}": "sum by (method) (facepass_rpcs_in_flight)"}
        ),
    ),
    "Indexing": (
        Panel("Photos", "reqps", {"{{state}}": per_second("facepass_photos_total", "state")}),
        Panel("Time of a photo", "s", quantiles("facepass_photo_seconds")),
        Panel(
            "Stages, 95 %",
            "s",
            {
                "{{stage}}": quantile(
                    0.95,
                    "facepass_stage_seconds",
                    "stage",
                    'stage=~"queue|decode|detect|embed|commit"',
                )
            },
        ),
        Panel("Faces", "reqps", {"indexed": per_second("facepass_faces_indexed_total")}),
        Panel(
            "Faces not indexed",
            "reqps",
            {"{{reason}}": per_second("facepass_faces_unindexed_total", "reason")},
            only="faces that are too small, too blurred or the like",
        ),
        Panel("Photos of one commit", "short", {"mean": mean("facepass_commit_photos")}),
        Panel("Photos being worked on", "short", {"{{instance}}": "facepass_photos_pending"}),
        Panel("Memory for photos", "bytes", {"{{instance}}": "facepass_photo_bytes"}),
    ),
    "Galleries and graphs": (
        Panel(
            "Searches that found the gallery in memory",
            "percentunit",
            {
                "share": per_second('facepass_gallery_searches_total{result="hit"}')
                + f" / {per_second('facepass_gallery_searches_total')}"
            },
        ),
        Panel("Galleries in memory", "short", {"{{instance}}": "facepass_gallery_events"}),
        Panel("Memory of galleries", "bytes", {"{{instance}}": "facepass_gallery_bytes"}),
        Panel(
            "Galleries read",
            "reqps",
            {"{{outcome}}": per_second("facepass_gallery_fills_total", "outcome")},
        ),
        Panel("Time to read one", "s", quantiles("facepass_gallery_fill_seconds")),
        Panel(
            "Galleries dropped",
            "reqps",
            {"{{reason}}": per_second("facepass_gallery_evictions_total", "reason")},
            only="galleries that were dropped from memory",
        ),
        Panel("Events", "short", {"events": "max(facepass_events)"}),
        Panel("Faces stored", "short", {"{{tier}}": "max by (tier) (facepass_faces_stored)"}),
        Panel("Events' own tables", "short", {"{{state}}": "max by (state) (facepass_relations)"}),
        Panel(
            "Graphs to build", "short", {"{{state}}": "max by (state) (facepass_promotions_open)"}
        ),
        Panel(
            "Work on graphs that ended",
            "short",
            {"{{outcome}}": "sum by (outcome) (increase(facepass_promotions_total[1h]))"},
        ),
        Panel(
            "Time of a phase",
            "s",
            {"{{phase}}": mean("facepass_promotion_seconds", "phase")},
            only="graphs that were built",
        ),
        Panel(
            "Recall of graphs",
            "percentunit",
            {
                "measured": mean("facepass_index_recall"),
                "target": "max(facepass_index_recall_target)",
            },
            about="The measured line shows only while there are graphs.",
        ),
    ),
    "Database": (
        Panel(
            "Available",
            "short",
            {"{{job}} {{instance}}": "facepass_database_available"},
            kind="stat",
        ),
        Panel(
            "Connections",
            "short",
            {
                "{{job}} {{state}}": "facepass_database_connections",
                "{{job}} limit": "facepass_database_connections_limit",
            },
        ),
        Panel("Wait for a connection", "s", quantiles("facepass_database_wait_seconds")),
        Panel(
            "Calls that wait for one",
            "short",
            {"{{job}} {{instance}}": "facepass_database_waiting"},
        ),
        Panel("Time of a commit", "s", quantiles("facepass_commit_seconds")),
        Panel(
            "Volume of the data",
            "bytes",
            {
                "{{instance}} free": "facepass_storage_free_bytes and facepass_storage_bytes > 0",
                "{{instance}} size": "facepass_storage_bytes > 0",
            },
        ),
        Panel(
            "Size of the database, where it is limited",
            "bytes",
            {"{{instance}}": "facepass_database_bytes"},
        ),
        Panel(
            "Photos refused for want of space",
            "short",
            {"{{instance}}": "facepass_ingest_refused"},
            kind="stat",
        ),
    ),
    "Backups": (
        Panel(
            "Age of the newest base backup",
            "s",
            {
                "{{instance}}": "time() - facepass_backup_time_seconds"
                " and facepass_backup_time_seconds > 0",
                "too old from": "facepass_backup_max_age_seconds > 0",
            },
            only="a standalone that makes backups",
        ),
        Panel(
            "Time that changes wait to be archived",
            "s",
            {"{{instance}}": "facepass_archive_waiting_seconds"},
        ),
        Panel(
            "Files of the log that wait to be archived",
            "short",
            {"{{instance}}": "facepass_archive_waiting_files"},
        ),
    ),
    "Workers": (
        Panel(
            "Workers",
            "short",
            {"{{instance}}": "facepass_workers", "{{instance}} busy": "facepass_workers_busy"},
        ),
        Panel(
            "Share of the time that they are busy",
            "percentunit",
            {
                "{{instance}}": "rate(facepass_worker_busy_seconds_total[$__rate_interval])"
                " / facepass_workers"
            },
        ),
        Panel("Images that wait", "short", {"{{lane}}": "sum by (lane) (facepass_images_waiting)"}),
        Panel(
            "Workers replaced",
            "short",
            {"{{instance}}": "increase(facepass_workers_replaced_total[1h])"},
        ),
        Panel(
            "Engine",
            "short",
            {"{{engine}} {{pack}} on {{provider}}": "facepass_engine_info"},
            kind="stat",
        ),
        Panel(
            "Items of a batch",
            "short",
            {"{{model}}": mean("facepass_device_batch_items", "model")},
            only="workers that share models, as on a GPU",
        ),
        Panel(
            "Share of the time that shared models run",
            "percentunit",
            {"{{instance}}": "rate(facepass_device_busy_seconds_total[$__rate_interval])"},
            only="workers that share models, as on a GPU",
        ),
        Panel(
            "Padding of batches",
            "percentunit",
            {
                "{{model}}": f"1 - {per_second('facepass_device_batch_items_sum', 'model')}"
                f" / {per_second('facepass_device_batch_places_total', 'model')}"
            },
            only="workers that share models, as on a GPU",
        ),
        Panel(
            "Processes with shared models replaced",
            "short",
            {"{{instance}}": "increase(facepass_devices_replaced_total[1h])"},
            only="workers that share models, as on a GPU",
        ),
    ),
    "Refusals": (
        Panel(
            "Refused",
            "reqps",
            {"{{limit}}: {{reason}}": per_second("facepass_refusals_total", "limit, reason")},
        ),
        Panel(
            "Calls admitted, of the limit",
            "percentunit",
            {"{{limit}} {{instance}}": "facepass_calls_admitted / facepass_calls_limit"},
        ),
        Panel("Limits", "short", {"{{limit}} {{instance}}": "facepass_calls_limit"}),
    ),
}


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana (10 or later) reads it."""
    return {
        "uid": "facepass",
        "title": "FacePass",
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {
            "list": [
                {
                    "name": "datasource",
                    "label": "Data source",
                    "type": "datasource",
                    "query": "prometheus",
                }
            ]
        },
        "panels": list(_panels()),
    }


def _panels() -> Iterator[dict[str, Any]]:
    number = top = 0
    for title, panels in ROWS.items():
        number += 1
        place = {"x": 0, "y": top, "w": WIDTH * PANELS_ABREAST, "h": 1}
        yield {
            "id": number,
            "type": "row",
            "title": title,
            "collapsed": False,
            "gridPos": place,
            "panels": [],
        }
        for index, panel in enumerate(panels):
            number += 1
            down, across = divmod(index, PANELS_ABREAST)
            place = {"x": across * WIDTH, "y": top + 1 + down * HEIGHT, "w": WIDTH, "h": HEIGHT}
            yield {"id": number, "gridPos": place, **_panel(panel)}
        top += 1 + HEIGHT * -(-len(panels) // PANELS_ABREAST)


def _panel(panel: Panel) -> dict[str, Any]:
    only = f"Shows only {panel.only}." if panel.only else ""
    targets = [
        {"refId": chr(ord("A") + index), "datasource": SOURCE, "expr": expr, "legendFormat": legend}
        for index, (legend, expr) in enumerate(panel.lines.items())
    ]
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": " ".join(filter(None, (panel.about, only))),
        "datasource": SOURCE,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": targets,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    text = json.dumps(dashboard(), indent=1) + "\n"
    if not parser.parse_args().check:
        PAGE.write_text(text)
    elif not PAGE.exists() or PAGE.read_text() != text:
        print(f"stale: {PAGE.name}. Run `make docs`.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
