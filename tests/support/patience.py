"""Waiting for what must happen."""

import asyncio
from collections.abc import Callable

import pytest

PATIENCE_S = 60


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that must happen."""
    for _ in range(PATIENCE_S * 100):
        if condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail("it never happened")
