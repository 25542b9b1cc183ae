"""Which calls are traced, and in whose trace."""

import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

from common.traces.span import Root, Span, Trace, current, new_id

PARENT_KEY = "traceparent"
_PARENT = re.compile(
    r"(?!ff|00.{54})[0-9a-f]{2}"
    r"-(?!0{32})(?P<trace>[0-9a-f]{32})-(?!0{16})(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(-|\Z)"
)
"""W3C Trace Context: only a version after 00 may say more."""
_SAMPLED = 1
_NOTHING = nullcontext()


class Tracer:
    """Begins traces. Whoever brings one has decided whether it is recorded."""

    def __init__(self, sample_ratio: float, done: Callable[[Sequence[Span]], object]) -> None:
        """sample_ratio: share of the traces that begin here which are recorded. done: is given
        the spans of each once they have ended."""
        self._sample_ratio = sample_ratio
        self._done = done

    def call(self, method: str, metadata: Iterable[tuple[str, str | bytes]]) -> Root | None:
        """The span of a call, None where it is not recorded. method: `/service/name`."""
        name, parent = method.removeprefix("/"), _parent(metadata)
        if parent is None:
            return self._begin(name, called=True) if self._drawn() else None
        if not int(parent["flags"], 16) & _SAMPLED:
            return None
        trace, parent_id = Trace(bytes.fromhex(parent["trace"])), bytes.fromhex(parent["span"])
        return Root(trace, name, self._done, parent_id=parent_id, called=True)

    @contextmanager
    def apart(self, name: str) -> Iterator[None]:
        """A trace of its own for what is done in the context, linked to what it is a part of."""
        whole = current.get()
        if self._drawn():
            with self._begin(name, link=whole):
                yield
            return
        untraced = current.set(None)
        try:
            yield
        finally:
            current.reset(untraced)

    def _drawn(self) -> bool:
        return random.random() < self._sample_ratio

    def _begin(self, name: str, *, link: Span | None = None, called: bool = False) -> Root:
        return Root(Trace(new_id(16)), name, self._done, link=link, called=called)


def apart(tracer: Tracer | None, name: str) -> AbstractContextManager[None]:
    """`Tracer.apart` where there is one."""
    return _NOTHING if tracer is None else tracer.apart(name)


def _parent(metadata: Iterable[tuple[str, str | bytes]]) -> re.Match[str] | None:
    for key, value in metadata:
        if key == PARENT_KEY and isinstance(value, str):
            return _PARENT.match(value)
    return None
