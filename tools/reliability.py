"""Writes the tables of docs/reliability.md, and of other pages, from the figures that the tests of
faults gave.

usage: python tools/reliability.py FIGURES
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[1] / "docs"
START, END = "<!-- figures: written by `make test-chaos` -->", "<!-- end -->"


def main(figures: Path) -> None:
    """Put the newest figure of each fault into its page's table."""
    pages: dict[str, dict[str, Any]] = {}
    for each in map(json.loads, figures.read_text().splitlines()):
        pages.setdefault(each["page"], {})[each["fault"]] = each
    for page, newest in pages.items():
        _write(DOCS / f"{page}.md", list(newest.values()))


def _write(path: Path, figures: list[dict[str, Any]]) -> None:
    table = ["| Fault | What was done | What came of it |", "| --- | --- | --- |"]
    table += [_row(each) for each in figures]
    part = "\n".join([START, "", *table, "", END])
    pattern = re.compile(re.escape(START) + ".*?" + re.escape(END), re.DOTALL)
    text, replaced = pattern.subn(lambda _: part, path.read_text(), count=1)
    if not replaced:
        raise SystemExit(f"{path} has no place for figures")
    path.write_text(text)


def _row(figure: dict[str, Any]) -> str:
    counts = "; ".join(
        f"{name.replace('_', ' ')}: {_told(value)}" for name, value in figure["counts"].items()
    )
    return f"| {figure['fault']} | {figure['done']} | {counts} |"


def _told(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
