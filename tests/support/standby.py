"""A hot standby of an embedded Postgres: a copy that follows it, and can take over."""

import asyncio
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
from patience import PATIENCE_S
from postgres_family import PostgresFamily
from pydantic import SecretStr

from common.config import DatabaseSettings
from common.db.migrate import migrate
from standalone.binaries import Binaries
from standalone.cluster import SUPERUSER, Cluster
from standalone.data_dir import DataDir
from standalone.embedded import EmbeddedPostgres, Role

_CANCEL_SOON = "max_standby_streaming_delay = '100ms'\n"
_SYNCHRONOUS = "synchronous_standby_names = '*'\n"


class Standby:
    """Follows `primary` by streaming replication, without a slot."""

    def __init__(self, primary: EmbeddedPostgres, folder: Path) -> None:
        self.primary = primary
        self._data = DataDir.at(folder)
        self._binaries = Binaries.for_data_dir(self._data)
        self._cluster = Cluster(self._data, self._binaries)
        self._server = EmbeddedPostgres(folder)
        self._family = PostgresFamily(folder)

    @contextmanager
    def running(self) -> Iterator["Standby"]:
        """Copy the primary and follow it, for as long as the context lasts."""
        lock = self._data.take()
        try:
            passwords = json.loads((self.primary.data_dir / "passwords.json").read_text())
            self._data.keep_passwords(passwords)
            self._server.attach()
            self._data.overrides.write_text(_CANCEL_SOON)
            self._copy(passwords[SUPERUSER])
            self._cluster.start()
            yield self
        finally:
            self._family.end()
            lock.release()

    def dsn(self, role: Role) -> str:
        return self._server.dsn(role)

    def _copy(self, password: str) -> None:
        self._data.user.make_private_folder(self._data.cluster)
        source = DataDir.at(self.primary.data_dir).sockets
        command = [self._binaries.program("pg_basebackup"), f"--pgdata={self._data.cluster}"]
        command += [f"--host={source}", f"--username={SUPERUSER}", "--checkpoint=fast"]
        command += ["--write-recovery-conf", "--wal-method=stream"]
        done = self._data.user.run(command, environment={"PGPASSWORD": password})
        assert done.returncode == 0, done.stderr

    async def ask(self, sql: str) -> Any:
        """One value of it, as the superuser."""
        return await ask(self._server, sql)

    async def pause(self) -> None:
        """Stop showing what comes from the primary; it still arrives."""
        await self.ask("SELECT pg_wal_replay_pause()")
        for _ in range(100 * PATIENCE_S):
            if await self.ask("SELECT pg_get_wal_replay_pause_state()") == "paused":
                return
            await asyncio.sleep(0.01)
        raise AssertionError("it goes on")

    async def resume(self) -> None:
        # It may be cancelled itself by what comes then.
        with suppress(asyncpg.PostgresError):
            await self.ask("SELECT pg_wal_replay_resume()")

    async def promote(self) -> None:
        """Take over: from here on it takes writes."""
        assert await self.ask("SELECT pg_promote(true, 30)")

    def kill(self) -> None:
        """All of it, at once."""
        self._family.end()

    def start(self) -> None:
        """Start it again, to follow on."""
        self._cluster.start()


@dataclass(frozen=True, slots=True)
class Pair:
    """A primary, and its standby."""

    folder: Path
    primary: EmbeddedPostgres
    standby: Standby

    @property
    def settings(self) -> DatabaseSettings:
        """For servers that go on with whichever of them takes writes, and search the standby."""
        replica = self.standby.dsn(Role.SERVER)
        return DatabaseSettings(
            dsn=SecretStr(both(self.primary.server_dsn, replica)),
            replica_dsn=SecretStr(replica),
            pool_size=5,
        )

    async def acknowledge_together(self) -> None:
        """Have the primary acknowledge nothing from now on that the standby has not got."""
        (self.folder / "primary/postgres.conf").write_text(_SYNCHRONOUS)
        await ask(self.primary, "SELECT pg_reload_conf()")
        for _ in range(100 * PATIENCE_S):
            state = await ask(self.primary, "SELECT min(sync_state) FROM pg_stat_replication")
            if state == "sync":
                return
            await asyncio.sleep(0.01)
        raise AssertionError(state)

    def kill_primary(self) -> None:
        """All of it, at once, as when its machine goes."""
        PostgresFamily(self.primary.data_dir).end()


@asynccontextmanager
async def replicated() -> AsyncIterator[Pair]:
    """A migrated pair for as long as the context lasts."""
    folder = await asyncio.to_thread(_folder)
    try:
        with EmbeddedPostgres(folder / "primary") as primary:
            await migrate(primary.owner_dsn)
            standby = Standby(primary, folder / "standby")
            with standby.running():
                yield Pair(folder, primary, standby)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="facepass-pair-"))
    folder.chmod(0o711)  # Postgres' user passes through
    return folder


async def ask(server: EmbeddedPostgres, sql: str) -> Any:
    """One value of it, as the superuser."""
    connection = await asyncpg.connect(server.superuser_dsn)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


def both(one: str, other: str) -> str:
    """One connection string of two that differ in their socket folder."""
    return f"{one},{other.partition('?host=')[2]}"
