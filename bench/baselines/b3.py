"""B3: one table of all events, `vector(512)`, one HNSW, `WHERE event_id` and iterative scan."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

import asyncpg
import numpy as np
from numpy.typing import NDArray

from bench.fill_repository import numbered
from bench.rows import copy_stream, vector
from bench.templates import LIMIT, THRESHOLD, Gallery, Templates
from common.db.sql import load_queries

SQL = load_queries("bench.baselines")
_AT_A_TIME = 50_000


async def build(dsn: str, events: Collection[Gallery], templates: Templates) -> None:
    """Fill the table, then build its graph over all of it."""
    async with _connected(dsn) as connection:
        await connection.execute(SQL["create"])
        faces = numbered(events)
        for start in range(0, len(templates), _AT_A_TIME):
            end = start + _AT_A_TIME
            columns = {name: each[start:end] for name, each in faces.items()}
            columns["embedding"] = vector(templates[start:end])
            await connection.copy_to_table(
                "baseline", source=copy_stream(columns), columns=list(columns), format="binary"
            )
        await connection.fetch(SQL["memory"])
        await connection.execute(SQL["build"])
        await connection.execute(SQL["analyze"])


class GlobalGraph:
    """One connection that searches it with a prepared statement and a binary probe."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self._search: asyncpg.PreparedStatement | None = None

    async def prepare(self) -> None:
        """Make the connection ready to search."""
        await self._connection.fetch(SQL["iterate"])
        self._search = await self._connection.prepare(SQL["search"])

    async def widen(self, ef_search: int) -> None:
        """Set how widely the graph is searched."""
        await self._connection.fetch(SQL["widen"], str(ef_search))

    async def search(self, event: Gallery, probe: NDArray[np.float32]) -> frozenset[int]:
        """Numbers of the faces at or above the threshold among the LIMIT nearest."""
        assert self._search is not None
        rows = await self._search.fetch(event.name.key, probe, LIMIT)
        return frozenset(row["face_no"] for row in rows if row["similarity"] >= THRESHOLD)

    async def plan(self, event: Gallery, probe: NDArray[np.float32]) -> str:
        """How Postgres chooses to search: `graph`, or `sequential scan`."""
        rows = await self._connection.fetch(SQL["explain"], event.name.key, probe, LIMIT)
        return "graph" if any("baseline_embedding" in row[0] for row in rows) else "sequential scan"

    async def insert(self, event: Gallery, face_no: int, template: NDArray[np.float32]) -> None:
        """Add one face to the live graph."""
        await self._connection.execute(SQL["insert"], event.name.key, face_no, template)


@asynccontextmanager
async def global_graph(dsn: str, *, forced: bool = False) -> AsyncIterator[GlobalGraph]:
    """A connection of its own, ready to search. forced: by the graph, whatever Postgres would
    choose."""
    async with _connected(dsn) as connection:
        if forced:
            await connection.fetch(SQL["force_graph"])
        graph = GlobalGraph(connection)
        await graph.prepare()
        yield graph


@asynccontextmanager
async def _connected(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.set_type_codec(
            "vector", schema="public", encoder=_encode, decoder=_decode, format="binary"
        )
        yield connection
    finally:
        await connection.close()


def _encode(values: NDArray[np.float32]) -> bytes:
    head = np.array([values.shape[0], 0], dtype=">u2").tobytes()
    return head + values.astype(">f4").tobytes()


def _decode(data: bytes) -> NDArray[np.float32]:
    return np.frombuffer(data, dtype=">f4", offset=4).astype(np.float32)
