"""Which events a request is about."""

import re
from functools import cache

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from common.names import EVENT_ID

_PATHS = (
    "event", "event.name", "event_id", "config.event", "parent", "name", "left.face", "right.face",
)  # fmt: skip
"""Where requests name an event, or something in one."""
_NAME = re.compile(f"events/({EVENT_ID.pattern})(?:/.*)?", re.DOTALL)


def events_of(request: Message) -> tuple[str, ...]:
    """Ids of the events that a request names, each once; none where what it names is no event."""
    found: dict[str, None] = {}
    for path in paths_of(request.DESCRIPTOR):
        value = request
        for part in path:
            value = getattr(value, part)
        if (name := _event_in(str(value), is_id=path[-1] == "event_id")) is not None:
            found[name] = None
    return tuple(found)


@cache
def paths_of(message: Descriptor) -> tuple[tuple[str, ...], ...]:
    """The fields of a request that may name an event, each as the way to it."""
    paths = [tuple(path.split(".")) for path in _PATHS]
    return tuple(path for path in paths if _is_text(message, path))


def _is_text(message: Descriptor, path: tuple[str, ...]) -> bool:
    field = message.fields_by_name.get(path[0])
    if field is None or field.is_repeated:
        return False
    if len(path) == 1:
        return bool(field.type == field.TYPE_STRING)
    return field.message_type is not None and _is_text(field.message_type, path[1:])


def _event_in(name: str, *, is_id: bool) -> str | None:
    """Only what is certainly an id: anything else may hold what must not be told."""
    if is_id:
        return name if EVENT_ID.fullmatch(name) else None
    match = _NAME.fullmatch(name)
    return match[1] if match is not None else None
