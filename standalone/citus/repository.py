"""Citus' nodes, and what it has distributed."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from common.db.hosts import connect
from common.db.migrate import pending_migrations
from common.db.sql import load_queries
from common.errors import SetupError

SQL = load_queries("standalone.citus")
_CONNECT_S = 15.0
_FAILED = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError)
EVENT_DATA = ("event", "photo", "face", "tombstone", "ingest", "suppression")
"""Tables that are distributed by event, the one that says where first."""
SETTINGS = ("jit = off", "max_parallel_workers_per_gather = 0")
KEPT_HERE = ("two_phase",)
"""Control data that Citus is told of."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a node listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Node:
    """One database server. group: 0 is the coordinator."""

    address: Address
    group: int
    active: bool
    takes_shards: bool


@dataclass(frozen=True, slots=True)
class OwnTable:
    """The schema `ev_<n>` of a large event with its table, and what is still to be done with it."""

    schema: str
    event: str
    distributed: bool
    local_bytes: int
    has_graph: bool


@dataclass(frozen=True, slots=True)
class Held:
    """What one node holds."""

    shards: int
    bytes: int
    events: int
    own_tables: int


@dataclass(frozen=True, slots=True)
class Place:
    """A shard, and where it is. alone: it holds one event's rows and no others."""

    shard: int
    address: Address
    alone: bool


@dataclass(frozen=True, slots=True)
class Citus:
    """The extension: in this database, to be created in it, loaded by the server."""

    version: str | None
    available: str | None
    loaded: bool


class CitusRepository:
    """Asks one connection, that of the tables' owner. Each method is a transaction of its own."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def citus(self) -> Citus:
        return Citus(**dict(await self._connection.fetchrow(SQL["extension"])))

    async def missing_migrations(self) -> list[str]:
        return await pending_migrations(self._connection)

    async def is_coordinator(self) -> bool:
        return bool(await self._connection.fetchval(SQL["is_coordinator"]))

    async def nodes(self) -> list[Node]:
        rows = await self._connection.fetch(SQL["nodes"])
        return [
            Node(_address(row), row["groupid"], row["isactive"], row["shouldhaveshards"])
            for row in rows
        ]

    async def roles(self) -> list[str]:
        """The servers' roles: those that the tables are granted to."""
        return [row["role"] for row in await self._connection.fetch(SQL["roles"])]

    async def lacking(self, roles: Sequence[str]) -> dict[Address, str]:
        """What each node lacks, or why it does not answer, in words; without those that lack
        nothing."""
        names = "{" + ",".join(f'"{role}"' for role in roles) + "}"
        query = SQL["node_lacks"].replace("{roles}", f"'{names}'")
        return {node: said for node, ok, said in await self._on_nodes(query) if said or not ok}

    async def sessions(self, roles: Sequence[str]) -> int:
        """How many sessions servers have."""
        count: int = await self._connection.fetchval(SQL["server_sessions"], roles)
        return count

    async def tables(self, names: Sequence[str]) -> dict[str, int]:
        """Those of the tables that Citus has, with the bytes of rows that were left here."""
        rows = await self._connection.fetch(SQL["tables"], names)
        return {row["name"]: row["local_bytes"] for row in rows}

    async def remove_carriers(self) -> None:
        await self._connection.execute(SQL["remove_carriers"])

    async def distribute(self, table: str, shards: int) -> None:
        """Distribute a table of event data; `shards` counts for the first."""
        if table == EVENT_DATA[0]:
            await self._connection.execute(SQL["distribute_first"], shards)
        else:
            await self._connection.execute(SQL["distribute"], table)

    async def tell_nodes(self, table: str) -> None:
        """Have Citus take part in changes of a table that stays here."""
        await self._connection.execute(SQL["tell_nodes"], table)

    async def truncate_local(self, table: str) -> None:
        """Remove rows that were distributed from here. table: with its schema."""
        await self._connection.execute(SQL["truncate_local"], table)

    async def analyze(self, table: str) -> None:
        await self._connection.execute(SQL["analyze"].replace("{table}", table))

    async def own_tables(self) -> list[OwnTable]:
        """Of events that use one."""
        rows = await self._connection.fetch(SQL["own_tables"])
        return [
            OwnTable(
                row["schema"],
                row["event"],
                row["distributed"],
                row["local_bytes"],
                row["has_graph"],
            )
            for row in rows
        ]

    async def distribute_schema(self, schema: str) -> None:
        """Without its graph: rows that go into one go slowly."""
        async with self._connection.transaction():
            await self._connection.execute(SQL["drop_graph"].replace("{schema}", schema))
            await self._connection.execute(SQL["distribute_schema"], schema)

    async def build_graph(self, schema: str, m: int, ef_construction: int) -> None:
        query = SQL["build_graph"].replace("{schema}", schema).replace("{m}", str(m))
        await self._connection.execute(query.replace("{ef_construction}", str(ef_construction)))

    async def set_for_sessions(self) -> bool:
        """Set on all nodes what the servers set for their own sessions; False where this role may
        not."""
        database = await self._connection.fetchval(SQL["database"])
        query = SQL["set_for_sessions"].replace("{database}", database)
        try:
            for setting in SETTINGS:
                await self._connection.execute(query.replace("{setting}", setting))
        except asyncpg.InsufficientPrivilegeError:
            return False
        return True

    async def held(self) -> dict[Address, Held]:
        """What each node that holds something does."""
        events = {
            _address(row): row["events"]
            for row in await self._connection.fetch(SQL["events_of_shards"])
        }
        return {
            _address(row): Held(
                row["shards"], row["bytes"], events.get(_address(row), 0), row["own_tables"]
            )
            for row in await self._connection.fetch(SQL["shard_sizes"])
        }

    async def event(self, key: int) -> tuple[str, str | None] | None:
        """An event's name and its own schema, if that is distributed; None where there is none."""
        row = await self._connection.fetchrow(SQL["event_place"], key)
        return None if row is None else (row["name"], row["schema"])

    async def place_of_event(self, key: int) -> Place:
        """Where the event's rows are."""
        return await self._place(await self._connection.fetchval(SQL["shard_of_event"], key))

    async def place_of_schema(self, schema: str) -> Place:
        """Where an own table is."""
        return await self._place(await self._connection.fetchval(SQL["shard_of_schema"], schema))

    async def _place(self, shard: int) -> Place:
        row = await self._connection.fetchrow(SQL["shard_place"], shard)
        return Place(shard, _address(row), row["alone"])

    async def events_in(self, place: Place) -> int:
        """How many events a shard holds."""
        count: int = await self._connection.fetchval(SQL["events_in_shard"], place.shard)
        return count

    async def isolate(self, key: int) -> None:
        """Give the event's rows shards of their own; whoever writes to the old ones waits."""
        await self._connection.execute(SQL["isolate"], key)

    async def move_shard(self, place: Place, to: Address) -> None:
        """Move a shard, with those of the other tables for the same events."""
        start = (place.address.host, place.address.port)
        await self._connection.execute(SQL["move_shard"], place.shard, *start, to.host, to.port)

    async def move_schema(self, schema: str, to: Address) -> None:
        await self._connection.execute(SQL["move_schema"], schema, to.host, to.port)

    async def arrived(self) -> tuple[int, int]:
        """Bytes of moves under way: arrived, and in all."""
        row = await self._connection.fetchrow(SQL["move_progress"])
        return row["arrived"], row["all"]

    async def rebalance(self) -> None:
        """Begin moving shards until the nodes have about as much each."""
        await self._connection.execute(SQL["rebalance"])

    async def rebalancing(self) -> tuple[str, str]:
        """State of the last such work, and its details."""
        row = await self._connection.fetchrow(SQL["rebalance_state"])
        return ("", "") if row is None else (row["state"], row["details"] or "")

    async def _on_nodes(self, command: str) -> list[tuple[Address, bool, str]]:
        rows = await self._connection.fetch(SQL["on_nodes"], command)
        return [(_address(row), row["success"], row["result"]) for row in rows]


@asynccontextmanager
async def open_citus(dsn: str) -> AsyncIterator[CitusRepository]:
    """Connect as the tables' owner for as long as the context lasts. Raises SetupError, also for
    what Citus or Postgres refuses meanwhile."""
    try:
        connection = await connect(dsn, timeout=_CONNECT_S)
        try:
            yield CitusRepository(connection)
        finally:
            await connection.close(timeout=_CONNECT_S)
    except _FAILED as error:
        said = " ".join((str(error) or type(error).__name__).split())
        raise SetupError(f"the database refused: {said}") from error


def _address(row: asyncpg.Record) -> Address:
    return Address(row["nodename"], row["nodeport"])
