"""Starting over what has died, for as long as it takes."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from common.errors import PackUnavailable

logger = logging.getLogger(__name__)

FIRST_RETRY_S, LAST_RETRY_S = 1.0, 60.0
T = TypeVar("T")


async def persist(start: Callable[[], Awaitable[T]], what: str) -> T:
    """What `start` starts, tried again after longer and longer pauses while it raises
    PackUnavailable. what: its name in the log."""
    pause_s = FIRST_RETRY_S
    while True:
        try:
            started = await start()
        except PackUnavailable as error:
            logger.error(error.message, extra={"action": f"{what}_not_replaced"})
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LAST_RETRY_S)
        else:
            logger.warning("%s replaced", what, extra={"action": f"{what}_replaced"})
            return started
