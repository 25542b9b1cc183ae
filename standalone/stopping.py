"""When what serves is to stop: told by a signal, or left alone by whoever started it."""

import asyncio
import logging
import os
import signal
from collections.abc import Coroutine

log = logging.getLogger(__name__)
_LOOK_S = 0.5


async def until_stopped(
    serving: Coroutine[None, None, None], supervisor: int | None = None
) -> bool:
    """Serve until SIGTERM, SIGINT or SIGHUP; another one cuts short what is being waited for.

    supervisor: the process that started this one, whose end counts as SIGTERM too.
    Returns whether it ended without such haste.
    """
    task = asyncio.ensure_future(serving)
    follows = asyncio.ensure_future(_end_with(supervisor)) if supervisor is not None else None
    signals: list[signal.Signals] = []

    def stop(number: signal.Signals) -> None:
        if supervisor is not None and number in signals:
            return  # systemd tells all processes, and the supervisor tells them once more
        log.info("stopping", extra={"action": "stopping", "signal": number.name})
        signals.append(number)
        task.cancel()

    # A closed terminal stops it too, unless nohup said otherwise.
    hangup = [] if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else [signal.SIGHUP]
    for number in (signal.SIGTERM, signal.SIGINT, *hangup):
        asyncio.get_running_loop().add_signal_handler(number, stop, number)
    try:
        await task
    except asyncio.CancelledError:
        if not signals:
            raise
    finally:
        if follows is not None:
            follows.cancel()
    return len(signals) < 2


async def _end_with(supervisor: int) -> None:
    while True:
        await asyncio.sleep(_LOOK_S)
        if os.getppid() != supervisor:
            log.error("the supervisor has ended", extra={"action": "supervisor_ended"})
            os.kill(os.getpid(), signal.SIGTERM)
            return
