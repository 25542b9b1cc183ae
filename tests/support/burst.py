"""A burst of photos with a misfortune in its midst."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

from seeded_client import SeededClient

PHOTOS = 40


async def struck_midway(
    client: SeededClient, choice: random.Random, strike: Callable[[], Awaitable[None]]
) -> float:
    """Index photos and have it struck at some moment before half of them are answered.

    Returns the longest pause between two answers from the blow on, in seconds.
    """
    moment = choice.randrange(1, PHOTOS // 2)
    come = asyncio.Event()
    answers: list[float] = []

    def answered(count: int) -> None:
        answers.append(time.monotonic())
        if count == moment:
            come.set()

    async def wait_and_strike() -> float:
        await come.wait()
        await asyncio.sleep(choice.random() * 0.02)
        at = time.monotonic()
        await strike()
        return at

    _, at = await asyncio.gather(client.burst(PHOTOS, answered), wait_and_strike())
    later = [each for each in answers if each > at]
    return max((b - a for a, b in zip([at, *later], later, strict=False)), default=0.0)
