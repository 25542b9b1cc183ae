"""Writes docs/benchmarks.md from what the benchmarks print, so that no figure is typed by hand.

usage: python -m bench.page [FILE ...]     runs every benchmark, or reads the output that it printed
"""

import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/benchmarks.md"
BENCHMARKS = ("search", "index", "rotation")
_MARKED = "<!-- {name}: written by `make bench` -->\n"
_END = "<!-- end -->"


def main(files: Sequence[str]) -> None:
    """Refresh the page's parts, those that were measured."""
    outputs = [Path(file).read_text() for file in files] or [_run(each) for each in BENCHMARKS]
    text = PAGE.read_text()
    for output in filter(None, outputs):  # nothing is printed where its material is absent
        text = with_part(text, json.loads(output.splitlines()[-1]))
    PAGE.write_text(text)


def with_part(page: str, result: Mapping[str, Any]) -> str:
    """The page with the part of one benchmark written anew. Raises ValueError where it has none."""
    start = _MARKED.format(name=result["name"])
    pattern = re.compile(re.escape(start) + ".*?" + re.escape(_END), re.DOTALL)
    if not pattern.search(page):
        raise ValueError(f"{PAGE.name} has no place for {result['name']!r}")
    return pattern.sub(lambda _: f"{start}\n{_part(result)}\n\n{_END}", page, count=1)


def _part(result: Mapping[str, Any]) -> str:
    heading, *rows = result["table"]
    lines = [_row(heading), _row("---" for _ in heading), *map(_row, rows)]
    sizes = ", ".join(f"{name} {_told(value)}" for name, value in result["sizes"].items())
    where = f"{result['machine']}; commit `{result['commit']}`; it took {result['seconds']} s."
    return "\n".join([*lines, "", f"Sizes: {sizes}.", "", f"Measured on {where}"])


def _row(cells: Any) -> str:
    return "| " + " | ".join(cells) + " |"


def _told(value: object) -> str:
    if isinstance(value, dict):
        return "(" + ", ".join(f"{name}: {_told(each)}" for name, each in value.items()) + ")"
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def _run(name: str) -> str:
    """Run one benchmark, showing what it prints."""
    command = [sys.executable, "-m", f"bench.{name}"]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    print(done.stdout, end="", flush=True)
    return done.stdout


if __name__ == "__main__":
    main(sys.argv[1:])
