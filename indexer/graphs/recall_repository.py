"""Looking at one event's faces by its graph and by comparing every one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from common.db.faces import EventFaces
from common.db.pool import Database
from common.db.sql import load_queries
from common.event import Event
from common.vision.types import EmbeddingVector
from indexer.graphs.relation_repository import superseding, table

SQL = load_queries("indexer.graphs")
VIEW_SIMILARITY = 0.75
"""A face at 0.6 to the others of its person then stays at 0.45: less than most selfies reach."""


@dataclass(frozen=True, slots=True)
class Look:
    """What the graph finds for one probe of what there is, and whether it came up with fewer faces
    than it was asked for although there are more."""

    found: int
    wanted: int
    under_returned: bool


def fresh_view(template: EmbeddingVector, seed: int) -> EmbeddingVector:
    """Another photo's template of the same person: (D,) at similarity VIEW_SIMILARITY.

    A stored template is its own nearest neighbour, which no selfie is: found from there, its
    fellows say too much good of a graph.
    """
    noise = np.random.default_rng(seed).standard_normal(len(template))
    noise -= (noise @ template) * template
    noise *= (1 - VIEW_SIMILARITY**2) ** 0.5 / np.linalg.norm(noise)
    return (VIEW_SIMILARITY * template + noise).astype(np.float32)


class RecallRepository:
    """Looks at the own relation of events. Raises Superseded where that is gone."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def present(self, event: Event, numbers: Sequence[int]) -> list[int]:
        """Those of the numbers that are faces of the event."""
        with superseding():
            async with self._database.snapshot() as connection:
                return sorted(await EventFaces(connection, event).by_no(numbers))

    async def look(self, event: Event, face_no: int, ef_search: int) -> Look | None:
        """Search with a face of the event as a selfie would show it. None when it is gone."""
        assert event.relation is not None and event.pack is not None
        own = table(event.relation.number)
        lowest = event.fields.settings.min_similarity or event.pack.min_similarity
        with superseding():
            async with self._database.snapshot() as connection:
                faces = EventFaces(connection, event)
                template = await faces.template(face_no)
                if template is None:
                    return None
                probe = fresh_view(template[1], face_no)
                exact = {c.face_no for c in await faces.exact(probe, lowest)}
                # Itself it finds too easily.
                wanted = {n for n in exact if n < event.relation.mark and n != face_no}
                graph = await faces.nearest_in_graph(probe, lowest, ef_search)
                # Where the graph cannot tell, searches compare every face.
                found = wanted if graph is None else {c.face_no for c in graph}
                given, there = [
                    await connection.fetchval(
                        SQL[query].replace("{faces}", own), event.name.key, *rest
                    )
                    for query, rest in (
                        ("count_in_graph", (probe, ef_search)),
                        ("count_up_to", (ef_search,)),
                    )
                ]
                return Look(len(found & wanted), len(wanted), given < there)

    async def keep(self, event: Event, ef_search: int, recall: float | None) -> None:
        """Search the event's graph like that from now on, as long as it is the same graph."""
        assert event.relation is not None
        async with self._database.transaction() as connection:
            await connection.execute(
                SQL["set_ef_search"],
                event.name.key,
                event.uid,
                event.relation.number,
                ef_search,
                recall,
            )
