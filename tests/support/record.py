"""Reading what the audit holds."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

Line = dict[str, Any]


def in_file(path: Path) -> list[Line]:
    """The file's lines."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


async def in_table(owner_dsn: str) -> list[Line]:
    """The table's rows, in the order in which they were written."""
    owner = await asyncpg.connect(owner_dsn)
    try:
        rows = await owner.fetch(
            "SELECT *, counts::text AS told FROM audit ORDER BY writer, number"
        )
    finally:
        await owner.close()
    return [{**row, "counts": json.loads(row["told"])} for row in rows]


async def until(look: Callable[[], Any], wanted: int) -> list[Line]:
    """The lines, once there are as many as wanted."""
    for _ in range(800):
        lines = look()
        found: list[Line] = await lines if asyncio.iscoroutine(lines) else lines
        if len(found) >= wanted:
            return found
        await asyncio.sleep(0.05)
    pytest.fail(f"{len(found)} of {wanted} lines came")
