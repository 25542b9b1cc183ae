"""Distributing event data, once, in steps that can be gone on with."""

from collections.abc import Callable

from common.errors import SetupError
from indexer.graphs.relation_repository import HNSW_M
from standalone.citus.repository import EVENT_DATA, KEPT_HERE, SETTINGS, CitusRepository, OwnTable

Say = Callable[[str], None]
LEAST_CITUS = 12
"""The first that places schemas."""
ADD_NODES = (
    "as a superuser, on the coordinator: SELECT citus_set_coordinator_host('HOST', 5432); and for "
    "each further server: SELECT citus_add_node('HOST', 5432)"
)


async def require_citus(citus: CitusRepository) -> None:
    """Raise SetupError, which says what to do, where the database cannot be distributed."""
    found = await citus.citus()
    if found.version is None and found.available is None:
        raise SetupError(
            "Citus is not installed on the database server. FacePass does not need it; where one "
            "database is too small, install it on every server (docs/scaling.md)"
        )
    if found.version is None:
        first = "" if found.loaded else "set shared_preload_libraries = 'citus', restart, then, "
        raise SetupError(
            f"Citus is not in this database: on every server, {first}as a superuser in this "
            "database: CREATE EXTENSION citus"
        )
    if int(found.version.split(".")[0]) < LEAST_CITUS:
        raise SetupError(f"Citus {found.version} is too old: install {LEAST_CITUS} or later")
    if not await citus.is_coordinator():
        raise SetupError("this is a worker: FACEPASS_DATABASE__MIGRATION_DSN names the coordinator")
    nodes = await citus.nodes()
    if not any(node.group == 0 for node in nodes) or not any(n.takes_shards for n in nodes):
        raise SetupError(f"Citus knows no servers to distribute to: {ADD_NODES}")


class Distribution:
    """The steps. Each looks at what is there, so that whoever is killed only begins again."""

    def __init__(self, citus: CitusRepository, say: Say, ef_construction: int) -> None:
        self._citus = citus
        self._say = say
        self._ef_construction = ef_construction
        self._done = 0

    async def run(self, shards: int) -> int:
        """Distribute what is not yet; returns how many steps that took. Raises SetupError."""
        self._done = 0
        await self._require_ready()
        await self._distribute(shards)
        await self._tell_nodes()
        for own in await self._citus.own_tables():
            await self._distribute_own(own)
        if self._done:
            await self._set_for_sessions()
        return self._done

    async def _require_ready(self) -> None:
        await require_citus(self._citus)
        if missing := await self._citus.missing_migrations():
            raise SetupError(
                f"the database lacks {', '.join(missing)}: run facepass-server migrate"
            )
        roles = await self._citus.roles()
        if lacking := await self._citus.lacking(roles):
            said = "; ".join(f"{node}: {what}" for node, what in lacking.items())
            raise SetupError(f"a server lacks something: {said}. docs/scaling.md has the commands")
        there = await self._citus.tables(EVENT_DATA)
        if len(there) < len(EVENT_DATA) and (sessions := await self._citus.sessions(roles)):
            raise SetupError(
                f"{sessions} sessions of {', '.join(roles)} are open: stop all Indexers and "
                "Searchers first, and start them again afterwards"
            )

    async def _distribute(self, shards: int) -> None:
        there = await self._citus.tables(EVENT_DATA)
        for table in EVENT_DATA:
            if table not in there:
                self._step(f"distributing {table}")
                if table == "face":
                    await self._citus.remove_carriers()
                await self._citus.distribute(table, shards)
        for table, left in (await self._citus.tables(EVENT_DATA)).items():
            if left:
                self._step(f"removing rows of {table} from the coordinator ({left} bytes)")
                await self._citus.truncate_local(f"public.{table}")
                await self._citus.analyze(table)

    async def _tell_nodes(self) -> None:
        there = await self._citus.tables(KEPT_HERE)
        for table in KEPT_HERE:
            if table not in there:
                self._step(f"telling the nodes of {table}, which stays on the coordinator")
                await self._citus.tell_nodes(table)

    async def _distribute_own(self, own: OwnTable) -> None:
        """In this order: rows that go into a graph go slowly, and a graph that is built while the
        rows are still here is built over both."""
        if not own.distributed:
            self._step(f"distributing {own.schema} of events/{own.event}")
            await self._citus.distribute_schema(own.schema)
        if not own.distributed or own.local_bytes:
            await self._citus.truncate_local(f"{own.schema}.face")
        if not own.distributed or not own.has_graph:
            self._step(f"building the graph of {own.schema} there")
            await self._citus.build_graph(own.schema, HNSW_M, self._ef_construction)
            await self._citus.analyze(f"{own.schema}.face")

    async def _set_for_sessions(self) -> None:
        if not await self._citus.set_for_sessions():
            wanted = ", and ".join(f"SET {setting}" for setting in SETTINGS)
            self._say(f"warning: as the database's owner: ALTER DATABASE ... {wanted}")

    def _step(self, what: str) -> None:
        self._done += 1
        self._say(what)
