"""Bounded concurrency."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.flow import map_unordered, until


async def numbers(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


@given(st.lists(st.integers(0, 3), max_size=30), st.integers(1, 6))
@settings(deadline=None, max_examples=50)
def test_each_item_is_answered_once_within_the_limit(delays: list[int], limit: int) -> None:
    async def run() -> tuple[list[int], int]:
        busy = most = 0

        async def work(item: int) -> int:
            nonlocal busy, most
            busy += 1
            most = max(most, busy)
            for _ in range(delays[item]):
                await asyncio.sleep(0)
            busy -= 1
            return item * 2

        found = [result async for result in map_unordered(numbers(len(delays)), work, limit)]
        return found, most

    found, most = asyncio.run(run())
    assert sorted(found) == [2 * item for item in range(len(delays))]
    assert most <= limit


async def test_a_slow_caller_makes_the_source_wait() -> None:
    taken = 0

    async def source() -> AsyncIterator[int]:
        nonlocal taken
        for number in range(100):
            taken += 1
            yield number

    async def work(item: int) -> int:
        return item

    results = map_unordered(source(), work, 3)
    await anext(results)
    for _ in range(20):
        await asyncio.sleep(0)
    assert taken <= 4
    await results.aclose()


async def test_an_error_ends_the_stream_and_cancels_the_rest() -> None:
    cancelled: list[int] = []

    async def work(item: int) -> int:
        if item == 1:
            raise ValueError("one")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(item)
            raise
        return item

    with pytest.raises(ValueError, match="one"):
        async for _ in map_unordered(numbers(10), work, 3):
            pass
    assert cancelled and 1 not in cancelled


async def test_an_error_of_the_source_is_the_callers() -> None:
    async def source() -> AsyncIterator[int]:
        yield 1
        raise ValueError("source")

    async def work(item: int) -> int:
        return item

    with pytest.raises(ValueError, match="source"):
        async for _ in map_unordered(source(), work, 2):
            pass


async def test_a_stopped_source_gives_what_is_whole_and_no_more() -> None:
    stop, cancelled = asyncio.Event(), []

    async def source() -> AsyncIterator[int]:
        yield 1
        yield 2
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append("what was half read")
            raise

    found = []
    async for item in until(stop, source()):
        found.append(item)
        if item == 2:
            asyncio.get_running_loop().call_later(0.01, stop.set)
    assert found == [1, 2]
    assert cancelled == ["what was half read"]


async def test_a_source_that_ends_or_fails_does_so_through_a_stop() -> None:
    async def failing() -> AsyncIterator[int]:
        yield 1
        raise ValueError

    assert [item async for item in until(asyncio.Event(), numbers(3))] == [0, 1, 2]
    with pytest.raises(ValueError):
        async for _ in until(asyncio.Event(), failing()):
            pass
