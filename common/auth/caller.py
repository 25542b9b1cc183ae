"""Who calls, and what they may do."""

from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum


class Scope(Enum):
    """What a caller may do. Values are the token's."""

    INDEX = "index"
    SEARCH = "search"
    ADMIN = "admin"
    ERASE = "erase"
    EMBEDDINGS = "embeddings"


@dataclass(frozen=True, slots=True)
class Caller:
    """subject: whom limits and the audit go by. events: names of events, or beginnings of names
    that end in `*`."""

    subject: str
    scopes: frozenset[Scope]
    events: tuple[str, ...]

    def may_see(self, event: str) -> bool:
        """Whether an event of that name, `events/` left out, is one of the caller's."""
        return any(
            event.startswith(own[:-1]) if own.endswith("*") else event == own for own in self.events
        )


ANYONE = Caller("", frozenset(Scope), ("*",))
"""Whoever calls a server that asks for no tokens."""
caller: ContextVar[Caller] = ContextVar("caller", default=ANYONE)
"""Who made the call that is being served."""
