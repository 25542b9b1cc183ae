"""What a handler tells of its call for the record."""

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass(slots=True)
class Note:
    """Ids of the events that a call is about, and what there was of anything."""

    events: Sequence[str] = ()
    counts: dict[str, int] = field(default_factory=dict)


note: ContextVar[Note | None] = ContextVar("note", default=None)
"""The note of the call that is being served, None outside one."""


def count(**counts: int) -> None:
    """Add to the counts of the call that is being served, a truth as 1 or 0."""
    if (current := note.get()) is not None:
        for what, times in counts.items():
            current.counts[what] = current.counts.get(what, 0) + times


def concerns(event: str) -> None:
    """Say the id of the event that the call is about, where its request does not name it."""
    if (current := note.get()) is not None:
        current.events = (event,)
