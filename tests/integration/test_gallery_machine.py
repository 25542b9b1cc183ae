"""Any interleaving of what happens to events, against a model that compares every face.

The events hold identical twins: an answer with a face of another event would look right but for
its photo.
"""

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import Any, TypeVar, cast
from uuid import uuid4

import pytest
from gallery_world import (
    EMBEDDINGS,
    Look,
    ModelPhoto,
    Stepping,
    World,
    brute_force,
    open_world,
    photo_write,
)
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from common.errors import EventNotFound, FaceNotFound, FacePassError, PhotoNotFound
from common.event import EventFields
from common.names import EventName
from indexer.graphs.operations import Superseded
from indexer.write_repository import Written
from searcher.repository import Source

pytestmark = pytest.mark.takes(150)

PHOTOS = 6
T = TypeVar("T")
LOOKS_OF_A_PHOTO = st.lists(st.sampled_from(sorted(EMBEDDINGS)), max_size=5).map(tuple)
SLOTS = st.integers(0, 1)
STEPS = st.integers(1, 30) | st.just(1000)
"""Of a builder: some, or all that are left."""
PHOTO_IDS = st.sampled_from([f"photo-{n}" for n in range(PHOTOS)])


class Machine(RuleBasedStateMachine):
    """Two events at a time, of names that come and go."""

    def __init__(self, world: World, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._world = world
        self._loop = loop
        self._model: dict[EventName, dict[str, ModelPhoto]] = {}
        self._builds: dict[EventName, tuple[asyncio.Task[Any], Stepping]] = {}

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=60)

    @initialize()
    def choose_names(self) -> None:
        run = uuid4().hex[:8]
        self._names = [EventName(f"{kind}-{run}") for kind in ("one", "two")]
        for slot in range(2):
            self.create(slot)
            for n in range(3):
                self.index(slot, f"photo-{n}", ((n, 0), (n + 1, 1)), replace=False)

    @invariant()
    def count(self) -> None:
        self._world.steps += 1

    @rule(slot=SLOTS)
    def create(self, slot: int) -> None:
        name = self._names[slot]
        if name not in self._model:
            self.run(self._world.events.create(name, EventFields(), None))
            self._model[name] = {}

    @rule(slot=SLOTS, sure=st.integers(0, 5))
    def delete_event(self, slot: int, sure: int) -> None:
        name = self._names[slot]
        if name in self._model and not sure:
            self.run(self._world.events.delete(name, "", validate_only=False))
            del self._model[name]

    @rule(slot=SLOTS, photo=PHOTO_IDS, looks=LOOKS_OF_A_PHOTO, replace=st.booleans())
    def index(self, slot: int, photo: str, looks: tuple[Look, ...], replace: bool) -> None:
        name = self._names[slot]
        if name not in self._model:
            return
        event = self.run(self._world.events.get(name))
        write = photo_write(photo, looks, replace=replace)
        (outcome,) = self.run(self._world.writes.write(event, [write]))
        known = self._model[name].get(photo)
        if known is not None and known.looks != looks and not replace:
            assert isinstance(outcome, FacePassError)
            return
        assert isinstance(outcome, Written)
        assert outcome.duplicate == (known is not None and known.looks == looks)
        if not outcome.duplicate:
            # The stored faces come largest first; as written, they are numbered in order.
            numbers = sorted(face.face_no for face in outcome.photo.faces)
            faces = dict(zip(numbers, looks, strict=True))
            self._model[name][photo] = ModelPhoto(outcome.photo.photo_no, looks, faces)

    @rule(slot=SLOTS, looks=LOOKS_OF_A_PHOTO, photo=PHOTO_IDS)
    def index_twins(self, slot: int, looks: tuple[Look, ...], photo: str) -> None:
        for each in range(2):
            self.index(each, photo, looks, replace=True)

    @rule(slot=SLOTS, photo=PHOTO_IDS)
    def delete_photo(self, slot: int, photo: str) -> None:
        name = self._names[slot]
        known = self._model.get(name, {}).pop(photo, None)
        delete = self._world.photos.delete_photo(name.photo(photo), validate_only=False)
        if known is not None:
            assert self.run(delete).faces == len(known.faces)
        else:
            with pytest.raises((PhotoNotFound, EventNotFound)):
                self.run(delete)

    @rule(slot=SLOTS, photo=PHOTO_IDS, which=st.integers(0, 4))
    def delete_face(self, slot: int, photo: str, which: int) -> None:
        name = self._names[slot]
        known = self._model.get(name, {}).get(photo)
        numbers = sorted(known.faces) if known is not None else []
        face_no = numbers[which] if which < len(numbers) else 10**6
        face = name.photo(photo).face(face_no)
        delete = self._world.photos.delete_face(face, validate_only=False)
        if known is not None and face_no in known.faces:
            self.run(delete)
            del known.faces[face_no]
        else:
            with pytest.raises((FaceNotFound, EventNotFound)):
                self.run(delete)

    @rule()
    def evict(self) -> None:

        async def evict() -> None:
            self._world.hot.evict("memory")
            await self._world.hot.wiped()

        self.run(evict())

    @rule(sure=st.integers(0, 3))
    def restart_searcher(self, sure: int) -> None:
        if not sure:
            self._world.restart()

    @rule(
        slot=SLOTS,
        probe=st.sampled_from(sorted(EMBEDDINGS)),
        lowest=st.sampled_from([1e-6, 0.3, 0.6, 0.8, 1.0]),
        by_face=st.booleans(),
        hot=st.booleans(),
        exact=st.booleans(),
        page_size=st.sampled_from([3, 1000]),
    )
    def search(
        self, slot: int, probe: Look, lowest: float, by_face: bool, hot: bool, exact: bool,
        page_size: int,
    ) -> None:  # fmt: skip
        self._compare(slot, probe, lowest, by_face, hot, exact, page_size)

    @rule(slot=SLOTS)
    def search_for_everybody(self, slot: int) -> None:
        """Where the test takes its time: every face of the event, by every probe."""
        if self._world.thorough:
            for probe in EMBEDDINGS:
                for hot in (True, False):
                    self._compare(slot, probe, 1e-6, True, hot, not hot, 1000)

    def _compare(
        self, slot: int, probe: Look, lowest: float, by_face: bool, hot: bool, exact: bool,
        page_size: int,
    ) -> None:  # fmt: skip
        name = self._names[slot]
        work = self._world.search(
            name, probe, lowest, by_face=by_face, hot=hot, exact=exact, page_size=page_size
        )
        if name not in self._model:
            with pytest.raises(EventNotFound):
                self.run(work)
            return
        found, source = self.run(work)
        expected = brute_force(self._model[name].values(), probe, lowest, by_face=by_face)
        if source is Source.GRAPH:
            # It says that it may have missed some; what it found is right, and none is foreign.
            assert not exact
            assert not by_face or set(found) <= set(expected)
            self._world.in_graph += len(expected)
            self._world.missed += len(expected) - len(found)
        else:
            assert found == expected

    @rule(slot=SLOTS, steps=STEPS)
    def build(self, slot: int, steps: int) -> None:
        """Begin to give the event a graph or to renew it, or go on with it for some steps."""
        self._work_on_relation(slot, steps, hnsw_min_faces=1)

    @rule(slot=SLOTS, steps=STEPS)
    def demote(self, slot: int, steps: int) -> None:
        self._work_on_relation(slot, steps, hnsw_min_faces=10**6)

    def _work_on_relation(self, slot: int, steps: int, hnsw_min_faces: int) -> None:
        name = self._names[slot]
        if name not in self._builds:
            if name not in self._model:
                return
            self._builds[name] = self.run(self._world.begin_build(name, hnsw_min_faces))
        work, stepping = self._builds[name]
        for _ in range(steps):
            if not work.done():
                self.run(stepping.step(work))
        if work.done():
            del self._builds[name]
            assert isinstance(work.exception(), Superseded | EventNotFound | None)

    @rule(slot=SLOTS)
    def kill_builder(self, slot: int) -> None:
        """What it began is left for the next one to find."""
        work, _ = self._builds.pop(self._names[slot], (None, None))
        if work is not None:
            self._loop.call_soon_threadsafe(work.cancel)
            self.run(asyncio.wait([work]))

    def teardown(self) -> None:
        for slot in range(2):
            self.kill_builder(slot)


async def run_machine(world: World, examples: int, steps: int) -> None:
    loop = asyncio.get_running_loop()
    given = settings(
        max_examples=examples, stateful_step_count=steps, deadline=None, database=None,
        suppress_health_check=list(HealthCheck), print_blob=True,
    )  # fmt: skip
    machine = cast(type[Machine], partial(Machine, world, loop))
    await asyncio.to_thread(run_state_machine_as_test, machine, settings=given)
    # Small graphs miss next to nothing.
    assert world.missed <= 0.001 * world.in_graph


def check_all_ways_were_taken(world: World) -> None:
    """Of answering; in a few thousand steps, none may be by a graph."""
    assert world.sources >= {Source.MEMORY, Source.SCAN, Source.GRAPH}


@pytest.mark.timeout(600)
async def test_every_interleaving_gives_what_brute_force_gives(database: Any, vision: Any) -> None:
    async with open_world(database, vision) as here:
        while here.steps < 10_000:
            await run_machine(here, examples=50, steps=80)
        check_all_ways_were_taken(here)


@pytest.mark.slow
@pytest.mark.timeout(3600)
async def test_a_million_results_are_what_brute_force_gives(database: Any, vision: Any) -> None:
    async with open_world(database, vision) as here:
        here.thorough = True
        while here.results < 1_000_000:
            await run_machine(here, examples=100, steps=100)
        check_all_ways_were_taken(here)
        print(f"{here.results:,} results of {here.steps:,} steps")
