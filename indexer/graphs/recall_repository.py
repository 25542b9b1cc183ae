"""Looking at one event's faces by its graph and by comparing every one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from common.db.faces import MAX_EF_SEARCH, EventFaces
from common.db.pool import Connection, Database
from common.db.sql import load_queries
from common.event import Event
from common.vision.types import EmbeddingVector
from indexer.graphs.relation_repository import superseding, table
from indexer.graphs.sweep import sweep

SQL = load_queries("indexer.graphs")
SHOTS = 32
"""Most templates of a person that are looked at to know them."""
_FEW = 3
"""Shots of a person from which on they tell how shots of one differ."""
Person: TypeAlias = NDArray[np.float32]
"""(n, D) templates of one person: that of some face, then others that are similar enough to it."""


@dataclass(frozen=True, slots=True, eq=False)
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


def fresh_views(people: Sequence[Person]) -> list[EmbeddingVector]:
    """What a selfie of each would be: (D,) each, of those who have several templates; where nobody
    has, their own.

    A stored template is its own nearest neighbour, which no selfie is: found from there, its
    fellows say too much good of a graph. So each person's middle is moved by what sets a shot of
    somebody else apart from the others of theirs, the other way round: that one is no match.
    """
    known = [shots for shots in people if len(shots) >= _FEW]
    if len(known) < 2:
        return [shots[0] for shots in people]
    middles = [shots.mean(axis=0) for shots in known]
    # The mean of few shots lies too near to each of them.
    apart = [
        (shots[0] - middle) * (len(shots) / (len(shots) - 1)) ** 0.5
        for shots, middle in zip(known, middles, strict=True)
    ]
    views = np.stack(middles) - np.stack([*apart[1:], apart[0]])
    return list(np.asarray(views / np.linalg.norm(views, axis=1, keepdims=True), np.float32))


class RecallRepository:
    """Looks at the own relation of events. Raises Superseded where that is gone."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def probes(self, event: Event, numbers: Sequence[int], count: int) -> list[Probe]:
        """Views of the people of up to `count` of the faces, the first that are there, for which
        there is something to be found, and no more than a graph can tell."""
        with superseding():
            async with self._database.snapshot(event.name) as connection:
                faces = EventFaces(connection, event)
                found = await faces.templates_by_no(numbers)
                own = [(number, found[number][1]) for number in numbers if number in found][:count]
                if not own:
                    return []
                views = np.stack(fresh_views(await _people(faces, event, own)))
                wanted: list[set[int]] = [set() for _ in views]
                async for hit in sweep(faces, event, views, lowest_similarity(event)):
                    if len(wanted[hit.probe]) <= MAX_EF_SEARCH:
                        wanted[hit.probe].update(hit.numbers.tolist())
        return [
            Probe(view, frozenset(there))
            for view, there in zip(views, wanted, strict=True)
            if 0 < len(there) <= MAX_EF_SEARCH
        ]

    async def reach(self, event: Event, ef_search: int) -> int:
        """How many faces a graph that reaches all of its faces comes up with."""
        with superseding():
            async with self._database.snapshot(event.name) as connection:
                return await _count(connection, "count_up_to", event, ef_search)

    async def look(self, event: Event, probe: Probe, ef_search: int, reach: int) -> Look:
        """Search the graph with a probe. `reach`: what `reach` says of that ef_search."""
        assert event.relation is not None
        with superseding():
            async with self._database.snapshot(event.name) as connection:
                faces = EventFaces(connection, event)
                graph = await faces.nearest_in_graph(
                    probe.vector, lowest_similarity(event), ef_search
                )
                given = faces.came_up
                if given is None:
                    given = await _count(
                        connection, "count_in_graph", event, probe.vector, ef_search
                    )
        # Where the graph cannot tell, searches compare every face.
        found = probe.wanted if graph is None else {c.face_no for c in graph}
        return Look(len(found & probe.wanted), len(probe.wanted), given < reach)

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


async def _people(
    faces: EventFaces, event: Event, own: Sequence[tuple[int, EmbeddingVector]]
) -> list[Person]:
    """Whom each of the faces, by number and template, is of."""
    people = [[template] for _, template in own]
    templates = np.stack([template for _, template in own])
    async for hit in sweep(faces, event, templates, lowest_similarity(event)):
        shots = people[hit.probe]
        others = hit.templates[hit.numbers != own[hit.probe][0]]
        shots += list(others[: SHOTS - len(shots)].astype(np.float32))
    return [np.stack(shots) for shots in people]


async def _count(connection: Connection, query: str, event: Event, *rest: object) -> int:
    assert event.relation is not None
    text = SQL[query].replace("{faces}", table(event.relation.number))
    count: int = await connection.fetchval(text, event.name.key, *rest)
    return count


def lowest_similarity(event: Event) -> float:
    """The threshold of the event's searches, unless they say otherwise."""
    assert event.pack is not None
    return event.fields.settings.min_similarity or event.pack.min_similarity
