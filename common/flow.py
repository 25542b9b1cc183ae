"""Bounded concurrency over a stream."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any, Final, TypeVar

A = TypeVar("A")
B = TypeVar("B")

_END: Final = object()


async def map_unordered(
    source: AsyncIterator[A], work: Callable[[A], Awaitable[B]], limit: int
) -> AsyncGenerator[B, None]:
    """Work on up to `limit` items of `source` at a time; yields results in completion order.

    The next item is taken from `source` only while fewer than `limit` are unfinished or not yet
    taken by the caller: slow work and a slow caller make the source wait. The first exception, of
    the source or of work, ends the stream; whatever is unfinished then, or when the caller stops,
    is cancelled.
    """
    pull: asyncio.Task[Any] | None = None
    working: set[asyncio.Task[B]] = set()
    ended = False
    try:
        while True:
            if pull is None and not ended and len(working) < limit:
                pull = asyncio.create_task(_next(source))
            waiting = {*working, pull} if pull is not None else {*working}
            if not waiting:
                return
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if pull is not None and pull in done:
                item, pull = pull.result(), None
                if item is _END:
                    ended = True
                else:
                    working.add(asyncio.create_task(_run(work, item)))
            for task in [task for task in working if task in done]:
                yield task.result()
                working.remove(task)
    finally:
        await _cancel({*working, pull} if pull is not None else working)


async def until(stop: asyncio.Event, source: AsyncIterator[A]) -> AsyncIterator[A]:
    """Items of `source` until `stop` is set; what the source is at then is cancelled."""
    stopped = asyncio.create_task(stop.wait())
    pull: asyncio.Task[Any] | None = None
    try:
        while not stop.is_set():
            pull = asyncio.create_task(_next(source))
            await asyncio.wait({pull, stopped}, return_when=asyncio.FIRST_COMPLETED)
            # What is whole already is not thrown away.
            if not pull.done() or (item := pull.result()) is _END:
                return
            yield item
    finally:
        await _cancel({stopped, pull} if pull is not None else {stopped})


async def _next(source: AsyncIterator[A]) -> A | object:
    return await anext(source, _END)


async def _run(work: Callable[[A], Awaitable[B]], item: A) -> B:
    return await work(item)


async def _cancel(tasks: set[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
