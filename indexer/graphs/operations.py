"""Long work on an event's index, as whoever waits for it sees it."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from uuid import UUID

from common.names import EventName


class Phase(Enum):
    """What an operation is doing. Values are the wire's, less the prefix."""

    QUEUED = "QUEUED"
    COPYING = "COPYING"
    BUILDING = "BUILDING"
    MEASURING = "MEASURING"
    CLEANING = "CLEANING"
    DONE = "DONE"


class Strategy(Enum):
    """How an event's faces are searched. Values are the wire's, less the prefix."""

    EXACT = "EXACT"
    HNSW = "HNSW"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an operation came to nothing: what a caller is told."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Operation:
    """Building or removing the graph of that very event. faces_done, faces_total: of the phase."""

    operation_id: UUID
    event: EventName
    uid: UUID
    phase: Phase
    done: bool
    faces_done: int
    faces_total: int
    failure: Failure | None
    create_time: datetime
    end_time: datetime | None


@dataclass(frozen=True, slots=True)
class Claim:
    """An operation that a server works on, as long as its heartbeat is fresh."""

    operation_id: UUID
    server_id: UUID
    event: EventName
    uid: UUID
    create_time: datetime


@dataclass(slots=True)
class Progress:
    """How far the work on a claim is. `graph_pid`: the backend that builds a graph, which knows how
    far it is."""

    phase: Phase = Phase.QUEUED
    done: int = 0
    total: int = 0
    graph_pid: int | None = None

    def enter(self, phase: Phase, total: int = 0) -> None:
        """Begin a phase of so many faces."""
        self.phase, self.done, self.total, self.graph_pid = phase, 0, total, None


class Superseded(Exception):
    """What a server was working on is not so any more: the event is gone or changed its relation,
    or another server has taken the work."""
