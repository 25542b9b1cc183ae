"""What a traced call spends its time on, as spans. Nothing in them is personal: names and numbers
of ours alone, never anything that a caller chose.

Where nothing is traced, a stage is one look-up.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from time import time_ns
from types import TracebackType
from typing import Self, TypeAlias

from common.errors import FacePassError

Attribute: TypeAlias = str | int | float | bool
_PREFIX = "facepass."
_MOST_PARTS = 128
"""Of one trace: a call that asks again and again for ten minutes has no more to tell."""


@dataclass(slots=True)
class Trace:
    """Spans that belong together. id: 16 bytes. spans: those that have ended, in that order."""

    id: bytes
    spans: list["Span"] = field(default_factory=list)


class Span:
    """A piece of work; as a context it is the current one, and ends with it.

    parent_id: 8 bytes, none for the first of a trace. Times are nanoseconds since 1970.
    """

    __slots__ = ("_token", "attributes", "end_ns", "id", "name", "parent_id", "start_ns", "trace")

    def __init__(self, trace: Trace, name: str, parent_id: bytes = b"") -> None:
        self.trace = trace
        self.name = name
        self.parent_id = parent_id
        self.id = new_id(8)
        self.start_ns = time_ns()
        self.end_ns = 0
        self.attributes: dict[str, Attribute] = {}
        self._token: Token[Span | None] | None = None

    def __enter__(self) -> Self:
        self._token = current.set(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._token is not None
        current.reset(self._token)
        self._token = None  # it holds the context, which may hold this
        if error is not None:
            # Never what it says: that may be of anybody.
            reason = error.reason if isinstance(error, FacePassError) else type(error).__name__
            self.attributes["error.type"] = reason
        self.end(time_ns())

    @property
    def trace_id(self) -> str:
        """Id of its trace, as it is written."""
        return self.trace.id.hex()

    def end(self, end_ns: int) -> None:
        """Say when it ended."""
        self.end_ns = end_ns
        if len(self.trace.spans) < _MOST_PARTS:
            self.trace.spans.append(self)

    def part(self, name: str) -> "Span":
        """A part of it that begins now."""
        return Span(self.trace, name, self.id)

    def lay_out(self, parts_ms: Mapping[str, float]) -> None:
        """Add parts of known lengths, as if each had begun when the one before it ended."""
        start_ns = self.start_ns
        for name, ms in parts_ms.items():
            part = self.part(name)
            part.start_ns = start_ns
            start_ns += int(ms * 1_000_000)
            part.end(start_ns)

    def tell(self, **attributes: Attribute) -> None:
        """Add attributes, which are called `facepass.<name>`."""
        self.attributes.update({_PREFIX + name: value for name, value in attributes.items()})


class Root(Span):
    """The first span of ours in a trace, at whose end all are handed on.

    link: the span of another trace that it comes from. called: whether it is a call from outside,
    which its caller may have told the parent of.
    """

    __slots__ = ("_done", "called", "failed", "link")

    def __init__(
        self,
        trace: Trace,
        name: str,
        done: Callable[[Sequence[Span]], object],
        *,
        parent_id: bytes = b"",
        link: Span | None = None,
        called: bool = False,
    ) -> None:
        super().__init__(trace, name, parent_id)
        self.link = link
        self.called = called
        self.failed = False
        self._done = done

    def end(self, end_ns: int) -> None:
        self.end_ns = end_ns
        # Trace and spans let go of each other.
        spans, self.trace.spans = self.trace.spans, []
        self._done([*spans, self])


current: ContextVar[Span | None] = ContextVar("span", default=None)
"""The span of what is going on, None where that is not traced."""
_NOTHING = nullcontext()


def stage(name: str) -> AbstractContextManager[Span | None]:
    """A part of what is going on, for as long as the context lasts."""
    span = current.get()
    return _NOTHING if span is None else span.part(name)


def new_id(size: int) -> bytes:
    """A random id of so many bytes, which are never all 0."""
    return (random.getrandbits(8 * size) or 1).to_bytes(size)
