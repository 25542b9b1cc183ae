"""Knowing whether Postgres answers, and still holds events apart."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import monotonic

import asyncpg

from common.background import going_on
from common.config import DatabaseSettings
from common.db.hosts import Hosts
from common.db.pool import Database
from common.db.sql import load_queries
from common.db.wall import examine_wall
from common.metrics import Metrics

log = logging.getLogger(__name__)
SQL = load_queries("common.db")
_INTERVAL_S = 1.0
_WALL_INTERVAL_S = 60.0
_PATIENCE_S = 3.0
"""Longest wait for a sign of life; with the interval a loss is known within 4 s."""
_FAILED = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)


class DatabaseWatch:
    """Looks at the database every second, at its wall between events every minute, on a connection
    of its own: a pool whose connections are all at work is no dead database."""

    def __init__(
        self,
        settings: DatabaseSettings,
        database: Database,
        tell: Callable[[bool], Awaitable[None]],
        metrics: Metrics,
    ) -> None:
        self._hosts = Hosts(settings.dsn.get_secret_value())
        self._database = database
        self._tell = tell
        self._metrics = metrics
        self._connection: asyncpg.Connection | None = None
        self._answered = True
        self._wall_s = monotonic() + _WALL_INTERVAL_S

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Watch for as long as the context lasts, and call `tell` at each change."""
        self._metrics.database_available.set(1)
        try:
            async with going_on(self._run()):
                yield
        finally:
            self._drop()

    async def _run(self) -> None:
        while True:
            answers = await self._answers()
            if answers != self._answered:
                self._answered = answers
                await self._changed(answers)
            await asyncio.sleep(_INTERVAL_S)

    async def _changed(self, answers: bool) -> None:
        self._metrics.database_available.set(int(answers))
        if answers:
            log.info("the database is back", extra={"action": "database_back"})
        else:
            log.error("the database does not answer", extra={"action": "database_lost"})
            self._database.drop_connections()
        await self._tell(answers)

    async def _answers(self) -> bool:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                if self._connection is None:
                    self._connection = await self._hosts.connect(
                        timeout=_PATIENCE_S, server_settings={"application_name": "facepass-watch"}
                    )
                await self._connection.fetchval(SQL["sign_of_life"])
                if monotonic() >= self._wall_s:
                    self._wall_s = monotonic() + _WALL_INTERVAL_S
                    await self._look_at_wall(self._connection)
        except _FAILED:
            self._drop()
            return False
        return True

    async def _look_at_wall(self, connection: asyncpg.Connection) -> None:
        try:
            holes = (await examine_wall(connection)).holes
        except asyncpg.PostgresConnectionError:
            if connection.is_closed():
                raise
            return  # not this server is away, but a node that it asked
        self._metrics.wall_stands.set(int(not holes))
        if holes:
            extra = {"action": "wall_is_open"}
            log.error("the database does not hold events apart: %s", holes, extra=extra)

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()
