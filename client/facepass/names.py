"""Resource names, from ids or from names."""

_EVENTS = "events/"


def event_name(event: str) -> str:
    """Return `events/{event}` for an id or a name."""
    return event if event.startswith(_EVENTS) else f"{_EVENTS}{event}"


def event_id(event: str) -> str:
    """Return the id of an event given by id or name."""
    return event.removeprefix(_EVENTS)


def photo_name(event: str, photo: str) -> str:
    """Return `events/{event}/photos/{photo}` for an event and a photo's id or name."""
    return photo if photo.startswith(_EVENTS) else f"{event_name(event)}/photos/{photo}"


def photo_id(photo: str) -> str:
    """Return the id of a photo given by id or name."""
    return photo.rpartition("/")[2]
