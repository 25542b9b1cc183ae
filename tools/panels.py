"""Draws the dashboard from what a Prometheus saw, and writes what became of each alert into
docs/operations.md.

usage: python -m tools.panels RECORDING     which tests/acceptance/test_alerts_fire.py writes
"""

import json
import math
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.drawing import Line, Picture, Span, draw

DOCS = Path(__file__).resolve().parents[1] / "docs"
START, END = "<!-- panels: written by `make panels` -->", "<!-- end -->"
POINTS = 120
_PORTS = {"facepass-indexer": "indexer:9101", "facepass-searcher": "searcher:9102"}
"""Where servers are scraped unless told otherwise; while recording, they were on free ports."""


def main(recording: Path) -> None:
    if not recording.exists():
        raise SystemExit(f"{recording} is not there: is Prometheus installed?")
    told = json.loads(recording.read_text())
    start, end = told["span"]
    faults = [(fault["start"] - start, fault["end"] - start) for fault in told["faults"]]
    span = Span(end - start, max(1.0, (end - start) / POINTS), faults)
    images = {}
    for row in told["rows"]:
        name = f"operations-{row['title'].lower().replace(' ', '-')}.svg"
        pictures = [_picture(panel, start) for panel in row["panels"]]
        (DOCS / "images").mkdir(exist_ok=True)
        (DOCS / "images" / name).write_text(draw(pictures, span))
        images[row["title"]] = name
    _write([*_transcript(told), "", *_images(images)])


def _picture(panel: Mapping[str, Any], start: float) -> Picture:
    lines = (_line(line, start) for line in panel["lines"])
    return Picture(
        panel["title"],
        panel["unit"],
        panel["type"] == "stat",
        panel["description"],
        [line for line in lines if line.points],
    )


def _line(line: Mapping[str, Any], start: float) -> Line:
    labels = line["labels"]
    if "instance" in labels:
        labels = {**labels, "instance": _PORTS[labels["job"]]}
    legend = re.sub(r"{{(\w+)}}", lambda name: labels.get(name[1], ""), line["legend"])
    points = [(float(at) - start, float(value)) for at, value in line["points"]]
    return Line(legend, [point for point in points if math.isfinite(point[1])])


def _images(images: Mapping[str, str]) -> Iterator[str]:
    for title, name in images.items():
        yield from (f"**{title}**", "", f"![{title}](images/{name})", "")


def _transcript(told: Mapping[str, Any]) -> Iterator[str]:
    faults = told["faults"]
    yield "| | Broken | Alert | Of | Pending after | Firing after | Quiet after the mending |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for number, fault in enumerate(faults, 1):
        length = fault["end"] - fault["start"]
        what = [str(number), f"{fault['name']}, for {length:.0f} s"]
        for course in _courses(told, fault["start"], fault["end"]):
            cells = [
                *what,
                _link(course["alert"]),
                course["job"].removeprefix("facepass-"),
                _seconds(course["pending"], fault["start"]),
                _seconds(course["firing"], fault["start"]),
                _seconds(course["quiet"], fault["end"]),
            ]
            yield f"| {' | '.join(cells)} |"
            what = ["", ""]
    broken = [each for x in faults for each in _courses(told, x["start"], x["end"])]
    others = [each["alert"] for each in _courses(told, *told["span"]) if each not in broken]
    if others:
        yield ""
        yield f"While nothing was broken, {', '.join(map(_link, dict.fromkeys(others)))} fired too."


def _courses(told: Mapping[str, Any], start: float, end: float) -> list[Mapping[str, Any]]:
    """Of the alerts that fired, those that were first seen pending in that time."""
    seen = [each for each in told["alerts"] if start <= each["pending"] <= end and each["firing"]]
    return sorted(seen, key=lambda each: each["firing"])


def _link(alert: str) -> str:
    return f"[{alert}](#{alert.lower()})"


def _seconds(moment: float | None, since: float) -> str:
    return "not by the end" if moment is None else f"{moment - since:.0f} s"


def _write(lines: Sequence[str]) -> None:
    page = DOCS / "operations.md"
    part = "\n".join([START, "", *lines, END])
    pattern = re.compile(re.escape(START) + ".*?" + re.escape(END), re.DOTALL)
    text, replaced = pattern.subn(lambda _: part, page.read_text(), count=1)
    if not replaced:
        raise SystemExit(f"{page} has no place for panels")
    page.write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
