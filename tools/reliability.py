"""Writes the tables of docs/reliability.md and docs/security.md from the figures that the tests of
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
    newest = {each["fault"]: each for each in map(json.loads, figures.read_text().splitlines())}
    for page in sorted({each["page"] for each in newest.values()}):
        rows = [_row(newest[fault]) for fault in sorted(newest) if newest[fault]["page"] == page]
        _write(DOCS / f"{page}.md", rows)


def _write(page: Path, rows: list[str]) -> None:
    table = ["| Fault | What was done | What came of it |", "| --- | --- | --- |", *rows]
    part = "\n".join([START, "", *table, "", END])
    pattern = re.compile(re.escape(START) + ".*?" + re.escape(END), re.DOTALL)
    text, replaced = pattern.subn(lambda _: part, page.read_text(), count=1)
    if not replaced:
        raise SystemExit(f"{page} has no place for figures")
    page.write_text(text)


def _row(figure: dict[str, Any]) -> str:
    counts = "; ".join(
        f"{name.replace('_', ' ')}: {_told(value)}" for name, value in figure["counts"].items()
    )
    return f"| {figure['fault']} | {figure['done']} | {counts} |"


def _told(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
