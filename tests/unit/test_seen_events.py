"""An event is taken for what it was when it was last looked at only while that is likely."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from common.event import Event, EventCounts, EventFields
from common.names import EventName
from common.templates.space import PlainSpace
from searcher import seen_events
from searcher.seen_events import SeenEvents

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(seen_events, "monotonic", clock)
    return clock


def event(name: str) -> Event:
    space = PlainSpace()
    return Event(
        EventName(name), uuid4(), EventFields(), EventCounts(), None, space, 1, 1, 1, 0, None,
        NOW, NOW,
    )  # fmt: skip


def test_one_that_stays_as_it_is_is_known(clock: Clock) -> None:
    seen, gala = SeenEvents(), event("gala")
    seen.add(gala)
    assert seen.settled(gala.name) is None
    clock.now_s += 2
    assert seen.settled(gala.name) == gala
    assert seen.settled(EventName("fair")) is None


def test_one_that_keeps_changing_is_not(clock: Clock) -> None:
    seen, gala = SeenEvents(), event("gala")
    for version in range(2, 10):
        seen.add(replace(gala, version=version))
        clock.now_s += 0.9
        assert seen.settled(gala.name) is None


def test_it_is_looked_at_again_now_and_then(clock: Clock) -> None:
    seen, gala = SeenEvents(), event("gala")
    seen.add(gala)
    clock.now_s += 31
    assert seen.settled(gala.name) is None
    seen.add(gala)
    assert seen.settled(gala.name) == gala


def test_the_deleted_and_the_longest_unseen_are_forgotten(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seen_events, "_MOST", 2)
    seen, events = SeenEvents(), [event(name) for name in ("one", "two", "three")]
    for each in events:
        seen.add(each)
    clock.now_s += 2
    assert [seen.settled(each.name) for each in events] == [None, *events[1:]]
    seen.keep([events[1].name.key])
    assert seen.keys == [events[1].name.key]
