"""Looking at one event's faces by its graph and by comparing every one."""

import random
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
VIEW_SIMILARITY = 0.8
"""A face at 0.6 to the others of its person then stays at 0.5: less than most selfies reach."""
MIXED = 12


@dataclass(frozen=True, slots=True)
class Probe:
    """A view of an indexed person, (D,), and the numbers of the faces that are to be found."""

    vector: EmbeddingVector
    wanted: frozenset[int]


@dataclass(frozen=True, slots=True)
class Look:
    """What the graph finds for one probe of what there is, and whether it came up with fewer faces
    than it was asked for although there are more."""

    found: int
    wanted: int
    under_returned: bool


def fresh_view(template: EmbeddingVector, others: Sequence[EmbeddingVector]) -> EmbeddingVector:
    """Another photo's template of the same person: (D,) at similarity VIEW_SIMILARITY.

    A stored template is its own nearest neighbour, which no selfie is: found from there, its
    fellows say too much good of a graph. What makes the difference is mixed from other people's
    templates, so that it lies where templates differ.
    """
    noise = np.zeros(len(template))
    for i, other in enumerate(others):
        noise += (-1) ** i * other
    noise = noise - (noise @ template) * template
    length = np.linalg.norm(noise)
    if length < 1e-3:  # nobody else is there
        return template
    noise = noise * (1 - VIEW_SIMILARITY**2) ** 0.5 / length
    return np.asarray(VIEW_SIMILARITY * template + noise, dtype=np.float32)


class RecallRepository:
    """Looks at the own relation of events. Raises Superseded where that is gone."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def probes(self, event: Event, numbers: Sequence[int], count: int) -> list[Probe]:
        """Views of up to `count` of the faces, the first that are there, for which there is
        something to be found."""
        templates: dict[int, EmbeddingVector] = {}
        with superseding():
            for number in numbers:
                async with self._database.snapshot(event.name) as connection:
                    found = await EventFaces(connection, event).template(number)
                if found is not None:
                    templates[number] = found[1]
                if len(templates) == count:
                    break
            probes = []
            for number, template in templates.items():
                rest = [templates[other] for other in templates if other != number]
                others = random.sample(rest, min(MIXED, len(rest)))
                probe = await self._probe(event, number, fresh_view(template, others))
                if probe.wanted:
                    probes.append(probe)
            return probes

    async def _probe(self, event: Event, face_no: int, vector: EmbeddingVector) -> Probe:
        assert event.relation is not None and event.pack is not None
        lowest = lowest_similarity(event)
        async with self._database.snapshot(event.name) as connection:
            exact = await EventFaces(connection, event).exact(vector, lowest)
        # Itself it finds too easily; what came since is not in the graph.
        mark = event.relation.mark
        numbers = {c.face_no for c in exact if c.face_no < mark and c.face_no != face_no}
        return Probe(vector, frozenset(numbers))

    async def look(self, event: Event, probe: Probe, ef_search: int) -> Look:
        """Search the graph with a probe."""
        assert event.relation is not None
        own = table(event.relation.number)
        with superseding():
            async with self._database.snapshot(event.name) as connection:
                faces = EventFaces(connection, event)
                graph = await faces.nearest_in_graph(
                    probe.vector, lowest_similarity(event), ef_search
                )
                given, there = [
                    await connection.fetchval(
                        SQL[query].replace("{faces}", own), event.name.key, *rest
                    )
                    for query, rest in (
                        ("count_in_graph", (probe.vector, ef_search)),
                        ("count_up_to", (ef_search,)),
                    )
                ]
        # Where the graph cannot tell, searches compare every face.
        found = probe.wanted if graph is None else {c.face_no for c in graph}
        return Look(len(found & probe.wanted), len(probe.wanted), given < there)

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


def lowest_similarity(event: Event) -> float:
    """The threshold of the event's searches, unless they say otherwise."""
    assert event.pack is not None
    return event.fields.settings.min_similarity or event.pack.min_similarity
