"""Memory that is given out in bounds, and comes back whatever happens."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

from hypothesis import given, settings
from hypothesis import strategies as st

from common.flow import map_unordered
from indexer.room import Room, Share, shared

MOST = 100


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_first_come_first_served_and_a_large_one_goes_alone() -> None:
    room = Room(MOST)
    order: list[str] = []

    async def take(name: str, size: int) -> None:
        await room.take(size)
        order.append(name)

    await room.take(60)
    tasks = [asyncio.create_task(take(*each)) for each in [("huge", 3 * MOST), ("small", 1)]]
    await settle()
    # The small one would fit, but then the huge one might wait for ever.
    assert order == [] and not room.take_now(1)
    room.give_back(60)
    await settle()
    assert order == ["huge"]
    room.give_back(3 * MOST)
    await asyncio.gather(*tasks)
    assert (order, room.taken) == (["huge", "small"], 1)


async def test_who_stops_waiting_holds_up_nobody() -> None:
    room = Room(MOST)
    await room.take(MOST - 10)
    large = asyncio.create_task(room.take(50))
    small = asyncio.create_task(room.take(10))
    await settle()
    large.cancel()
    await asyncio.wait_for(small, 5)
    assert room.taken == MOST
    granted = asyncio.create_task(room.take(10))
    await settle()
    room.give_back(10)
    granted.cancel()  # it has just been let in, and does not know
    await asyncio.gather(granted, large, return_exceptions=True)
    assert room.taken == MOST - 10


@given(
    st.lists(st.tuples(st.lists(st.integers(1, 150), max_size=6), st.booleans()), max_size=8),
    st.integers(1, 30),
)
@settings(deadline=None, max_examples=40)
def test_streams_that_come_and_go_give_everything_back(
    streams: list[tuple[list[int], bool]], moment: int
) -> None:
    """Each has up to two photos worked on while it takes the next; some are cancelled."""

    async def run() -> None:
        room = Room(MOST)

        async def photos(sizes: list[int], share: Share) -> AsyncIterator[int]:
            for size in sizes:
                await share.take(size)
                yield size

        async def work(size: int) -> int:
            assert room.taken <= max(MOST, size)
            await asyncio.sleep(0)
            return size

        async def stream(sizes: list[int]) -> None:
            with shared(room, 80) as share:
                async with aclosing(map_unordered(photos(sizes, share), work, 2)) as results:
                    async for size in results:
                        share.give_back(size)

        tasks = [asyncio.create_task(stream(sizes)) for sizes, _ in streams]
        for _ in range(moment):
            await asyncio.sleep(0)
        for task, (_, cancelled) in zip(tasks, streams, strict=True):
            if cancelled:
                task.cancel()
        done = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)
        assert all(each is None or isinstance(each, asyncio.CancelledError) for each in done)
        assert room.taken == 0
        assert room.take_now(MOST)

    asyncio.run(run())
