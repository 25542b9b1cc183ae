"""What each call needs: the scope, and where its request names the event."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message

from common.auth.caller import Caller, Scope
from common.errors import InvalidArgument, PermissionDenied, ScopeMissing


@dataclass(frozen=True, slots=True)
class Rule:
    """scopes: any of them suffices. events: fields of the request, of the first one of a stream,
    that hold an event's id, its name or a name within it. needs: scopes that a field needs besides,
    where it is set. begins: the field of a stream's later requests that begins something new, which
    an expired token may not.

    Where no field names the event, as of an operation, the service asks `Caller.may_see`.
    """

    scopes: frozenset[Scope]
    events: tuple[str, ...] = ()
    needs: Mapping[str, Scope] = field(default_factory=dict)
    begins: str = ""

    def check_scope(self, caller: Caller) -> None:
        """Raises ScopeMissing."""
        if not self.scopes & caller.scopes:
            raise _missing(*self.scopes)

    def check_request(self, caller: Caller, request: Message) -> None:
        """Raises ScopeMissing, PermissionDenied, or InvalidArgument for a name of no event."""
        for path, scope in self.needs.items():
            if scope not in caller.scopes and any(True for _ in _values(request, path.split("."))):
                raise _missing(scope)
        # Whoever may see every event is told by the handler what is wrong with a name.
        if "*" in caller.events:
            return
        for path in self.events:
            # A handler refuses a name that is missing, or tells of the caller's events only.
            for name in filter(None, _values(request, path.split("."))):
                if not caller.may_see(_event_of(str(name), path)):
                    raise PermissionDenied("the event is none of those that the token names")


def _rule(
    *scopes: Scope, events: tuple[str, ...] = (), needs: Mapping[str, Scope] | None = None,
    begins: str = "",
) -> Rule:  # fmt: skip
    return Rule(frozenset(scopes), events, needs or {}, begins)


_INDEX, _SEARCH, _ADMIN, _ERASE = Scope.INDEX, Scope.SEARCH, Scope.ADMIN, Scope.ERASE
RULES: Mapping[str, Rule] = {
    "/facepass.v1.Events/CreateEvent": _rule(_ADMIN, events=("event_id",)),
    "/facepass.v1.Events/GetEvent": _rule(_ADMIN, _INDEX, _SEARCH, events=("name",)),
    "/facepass.v1.Events/ListEvents": _rule(_ADMIN, _INDEX, _SEARCH),
    "/facepass.v1.Events/UpdateEvent": _rule(_ADMIN, events=("event.name",)),
    "/facepass.v1.Events/DeleteEvent": _rule(_ERASE, events=("name",)),
    "/facepass.v1.Indexer/IndexPhotos": _rule(_INDEX, events=("config.event",), begins="photo"),
    "/facepass.v1.Indexer/IndexPhoto": _rule(_INDEX, events=("config.event",)),
    "/facepass.v1.Indexer/GetPhoto": _rule(_ADMIN, _INDEX, events=("name",)),
    "/facepass.v1.Indexer/ListPhotos": _rule(_ADMIN, _INDEX, events=("parent",)),
    "/facepass.v1.Indexer/DeletePhoto": _rule(_ERASE, events=("name",)),
    "/facepass.v1.Indexer/DeleteFace": _rule(_ERASE, events=("name",)),
    "/facepass.v1.Indexer/ErasePerson": _rule(_ERASE, events=("event", "face")),
    "/facepass.v1.Indexer/GetErasure": _rule(_ADMIN, _ERASE),
    "/facepass.v1.Indexer/ListErasures": _rule(_ADMIN, _ERASE, events=("event",)),
    "/facepass.v1.Indexer/OptimizeEvent": _rule(_ADMIN, events=("name",)),
    "/google.longrunning.Operations/GetOperation": _rule(_ADMIN, _ERASE),
    "/google.longrunning.Operations/ListOperations": _rule(_ADMIN, _ERASE),
    "/google.longrunning.Operations/WaitOperation": _rule(_ADMIN, _ERASE),
    "/google.longrunning.Operations/CancelOperation": _rule(_ADMIN, _ERASE),
    "/google.longrunning.Operations/DeleteOperation": _rule(_ADMIN, _ERASE),
    "/facepass.v1.Searcher/Search": _rule(
        _SEARCH, events=("event", "probes.face"), needs={"probes.embedding": Scope.EMBEDDINGS}
    ),
    "/facepass.v1.Searcher/CompareFaces": _rule(
        _SEARCH,
        events=("left.face", "right.face"),
        needs={"left.embedding": Scope.EMBEDDINGS, "right.embedding": Scope.EMBEDDINGS},
    ),
    "/facepass.v1.Searcher/EvaluateSelfie": _rule(_SEARCH),
}
"""By the call's full name. A call that is not here is answered to nobody."""
FORBIDDEN = Rule(frozenset())


def _missing(*scopes: Scope) -> ScopeMissing:
    names = " or ".join(sorted(scope.value for scope in scopes))
    return ScopeMissing(f"this needs the scope {names}", metadata={"scope": names})


def _values(message: Message, path: list[str]) -> Iterator[Any]:
    """What is set at a path of fields, for each element of repeated ones."""
    name, *rest = path
    told = message.DESCRIPTOR.fields_by_name[name]
    if told.has_presence and not message.HasField(name):
        return
    value = getattr(message, name)
    for each in value if told.is_repeated else (value,):
        yield from _values(each, rest) if rest else (each,)


def _event_of(name: str, field: str) -> str:
    """The event's id. Raises InvalidArgument for a name that no event, photo or face has."""
    match name.split("/"):
        case ["events", event, *_] if event:
            return event
        case [event] if event and field == "event_id":
            return event
    raise InvalidArgument(field, "must name an event")
