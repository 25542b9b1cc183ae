"""How many different people a subject may look up."""

from uuid import UUID

import numpy as np
import pytest

from common.auth.caller import Caller, caller
from common.errors import QuotaExceeded
from common.metrics import Metrics
from common.quotas import people
from common.quotas.people import PeopleBudget
from common.vision.types import EmbeddingVector

GALA, BALL = UUID(int=1), UUID(int=2)
HOUR_S = 3600.0


class World:
    """A budget of three people a day, a clock, and faces of people that resemble nobody else."""

    def __init__(self) -> None:
        self.now = 0.0
        self.metrics = Metrics()
        self.budget = PeopleBudget(3, self.metrics, lambda: self.now)

    def search(self, *probes: EmbeddingVector, event: UUID = GALA, by: str = "") -> None:
        before = caller.set(Caller(by, frozenset(), ("*",)))
        try:
            self.budget.spend(event, "pack", probes, 0.4)
        finally:
            caller.reset(before)

    def refused(self, *probes: EmbeddingVector, event: UUID = GALA) -> QuotaExceeded:
        with pytest.raises(QuotaExceeded) as refused:
            self.search(*probes, event=event)
        assert refused.value.metadata == {"limit": "people"}
        return refused.value


def person(number: int, *, like: float = 1.0) -> EmbeddingVector:
    """A face; `like`: its similarity to the person's others."""
    face = np.zeros(64, dtype=np.float32)
    face[number], face[63] = like, np.sqrt(1 - like**2)
    return face


@pytest.fixture
def world() -> World:
    return World()


def test_one_person_may_be_searched_for_all_day(world: World) -> None:
    for _ in range(100):
        world.search(person(1), person(1, like=0.5))
    world.search(person(2))
    world.search(person(3))
    world.search(person(1))
    world.refused(person(4))
    refusals = world.metrics.registry.get_sample_value
    assert refusals("facepass_quota_refusals_total", {"quota": "people"}) == 1


def test_many_people_in_one_search_are_many(world: World) -> None:
    world.refused(*(person(n) for n in range(4)))
    world.search(*(person(n) for n in range(3)))
    world.refused(person(9), person(1))
    world.search(person(1), person(2))


def test_subjects_and_events_are_apart(world: World) -> None:
    for n in range(3):
        world.search(person(n))
    world.refused(person(3))
    world.search(person(3), by="somebody else")
    world.search(person(3), event=BALL)


def test_a_day_later_there_is_room_again(world: World) -> None:
    world.search(person(0))
    world.now += HOUR_S
    world.search(person(1), person(2))
    world.now += HOUR_S
    one, two = world.refused(person(3)), world.refused(person(3), person(4))
    assert one.retry_after_s == 22 * HOUR_S
    assert two.retry_after_s == 23 * HOUR_S
    world.now += one.retry_after_s
    world.search(person(3))
    world.refused(person(0))


def test_memory_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(people, "MOST_TEMPLATES", 4)
    for number in range(10):
        world.search(person(0), person(1), person(2), event=UUID(int=number))
    world.refused(person(3), event=UUID(int=9))
    world.search(person(3), event=UUID(int=0))  # forgotten
