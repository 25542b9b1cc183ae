"""Postgres servers with Citus in the place of the embedded one: a coordinator and its workers."""

import asyncio
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from given_postgres import GivenPostgres

from common.db.migrate import migrate
from standalone.citus.distribution import Distribution
from standalone.citus.repository import open_citus
from standalone.embedded import Role

SHARDS = 8


class GivenCitus(GivenPostgres):
    """Named by the superuser's connection string to the coordinator, and `host:port` of each
    worker. A distributed database cannot be a template: each is migrated and distributed anew."""

    def __init__(self, dsn: str, workers: Sequence[str]) -> None:
        super().__init__(dsn)
        self.workers = tuple(workers)
        self._coordinator = self._parts
        self._joined: set[str] = set()

    def create_database(self, name: str, template: str | None = None) -> None:
        super().create_database(name)
        if template is not None:
            self._alone(migrate(self.dsn(Role.OWNER, name)))
            self.join(name)
            self._alone(self._distribute(self.dsn(Role.OWNER, name)))

    def join(self, name: str) -> None:
        """Make the databases of this name on all nodes one for Citus."""
        self._query("CREATE EXTENSION citus;", name)
        at = urlsplit(self.dsn(Role.SUPERUSER, name))
        self._ask(f"SELECT citus_set_coordinator_host('{at.hostname}', {at.port});", name)
        for worker in self.workers:
            host, _, port = worker.rpartition(":")
            self._ask(f"SELECT citus_add_node('{host}', {port});", name)
        self._joined.add(name)

    def drop_database(self, name: str) -> None:
        self._joined.discard(name)
        super().drop_database(name)

    def dsns(self, name: str) -> list[str]:
        """The superuser's way to a database on each node."""
        here = urlsplit(self.dsn(Role.SUPERUSER, name))
        login, at, _ = here.netloc.rpartition("@")
        return [
            urlunsplit(here._replace(netloc=netloc))
            for netloc in (here.netloc, *(f"{login}{at}{worker}" for worker in self.workers))
        ]

    def _alone(self, work: Coroutine[Any, Any, object]) -> None:
        """Not in this thread, which may have a loop of its own."""
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, work).result()

    async def _distribute(self, dsn: str) -> None:
        async with open_citus(dsn) as citus:
            await Distribution(citus, lambda _: None, ef_construction=200).run(SHARDS)

    def _query(self, sql: str, database: str = "postgres") -> str:
        """Run SQL on every node, unless Citus does; returns what the coordinator said."""
        for worker in () if database in self._joined else self.workers:
            login = self._coordinator.netloc.rpartition("@")[0]
            self._parts = self._coordinator._replace(netloc=f"{login}@{worker}")
            try:
                super()._query(sql, database)
            finally:
                self._parts = self._coordinator
        return super()._query(sql, database)

    def _ask(self, sql: str, database: str) -> str:
        """Run SQL on the coordinator alone."""
        return super()._query(sql, database)
