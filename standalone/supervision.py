"""Keeping the embedded Postgres running."""

import asyncio
import logging

from common.errors import SetupError
from standalone.embedded import EmbeddedPostgres

log = logging.getLogger(__name__)
_WATCH_S = 0.5
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 30.0


async def keep_running(postgres: EmbeddedPostgres) -> None:
    """Start Postgres again whenever it has ended unasked, for as long as it takes; never returns.

    The servers connect anew by themselves. A session that crashes alone is Postgres' own affair: it
    restarts its sessions and goes on.
    """
    pause_s = _FIRST_PAUSE_S
    while True:
        await asyncio.sleep(_WATCH_S)
        if postgres.running:
            continue
        logs = postgres.data_dir / "logs"
        log.error("Postgres has ended unasked; %s says why", logs, extra={"action": "db_ended"})
        try:
            await asyncio.to_thread(postgres.restart)
        except SetupError as error:
            log.error(error.message, extra={"action": "db_not_restarted", "pause_s": pause_s})
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        else:
            log.warning("Postgres runs again", extra={"action": "db_restarted"})
            pause_s = _FIRST_PAUSE_S
