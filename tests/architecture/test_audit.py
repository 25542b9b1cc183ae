"""The audit knows which event a call is about, a new RPC's too without anybody's doing."""

import pytest
from facepass.v1 import events_pb2, indexer_pb2, searcher_pb2
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass

from common.rpc.events_of import events_of, paths_of

METHODS = [
    method
    for file in (events_pb2, indexer_pb2, searcher_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]
ABOUT_NO_EVENT = {"ListEvents", "EvaluateSelfie"}


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_every_request_tells_its_event(method: MethodDescriptor) -> None:
    """Where this fails, a request names its event as none did before: `_PATHS` must learn it."""
    paths = paths_of(method.input_type)
    assert bool(paths) != (method.name in ABOUT_NO_EVENT)
    for path in paths:
        request = GetMessageClass(method.input_type)()
        message = request
        for part in path[:-1]:
            message = getattr(message, part)
        plain = path[-1] == "event_id"
        setattr(message, path[-1], "gala" if plain else "events/gala/photos/a/faces/1")
        assert events_of(request) == ("gala",)
        for odd in (
            "",
            "\0",
            "anna.jpg",
            "events/",
            "events/Anna",
            "events/../gala",
            "operations/a b",
        ):
            setattr(message, path[-1], odd)
            assert events_of(request) == ()


def test_both_sides_of_a_comparison_are_told() -> None:
    left = searcher_pb2.Probe(face="events/gala/photos/a/faces/1")
    right = searcher_pb2.Probe(face="events/ball/photos/a/faces/1")
    both = searcher_pb2.CompareFacesRequest(left=left, right=right)
    assert events_of(both) == ("gala", "ball")
    assert events_of(searcher_pb2.CompareFacesRequest(left=left, right=left)) == ("gala",)
