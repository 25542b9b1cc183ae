"""Every call has a rule, and every field that names an event is looked at by it."""

from collections.abc import Iterator

import pytest
from facepass.v1 import events_pb2, indexer_pb2, searcher_pb2
from google.longrunning import operations_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor

from common.auth.caller import Scope
from common.rpc.rules import RULES
from indexer.app import SERVICES as INDEXER
from searcher.app import SERVICES as SEARCHER

FILES = (events_pb2, indexer_pb2, searcher_pb2, operations_pb2)
METHODS: dict[str, MethodDescriptor] = {
    f"/{service.full_name}/{method.name}": method
    for file in FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
NAMING = ("event", "event_id", "name", "parent", "face", "photo", "person", "events")
"""Fields that name an event, or something within one."""
ELSEWHERE = {
    # CreateEvent's handler has it agree with `event_id`, or be empty.
    "/facepass.v1.Events/CreateEvent": {"event.name"},
    # Receipts and operations have no event in their names: it is asked for once they are read.
    "/facepass.v1.Indexer/GetErasure": {"name"},
    **{
        f"/google.longrunning.Operations/{call}Operation{s}": {"name"}
        for call, s in (("Get", ""), ("List", "s"), ("Wait", ""), ("Cancel", ""), ("Delete", ""))
    },
}


def fields(message: Descriptor, path: str = "") -> Iterator[tuple[str, FieldDescriptor]]:
    for field in message.fields:
        yield f"{path}{field.name}", field
        if field.message_type and not field.message_type.full_name.startswith("google."):
            yield from fields(field.message_type, f"{path}{field.name}.")


def test_every_service_is_looked_at() -> None:
    served = {name.split("/")[1] for name in METHODS}
    assert served == {*INDEXER, *SEARCHER}


def test_every_call_has_a_rule_and_no_other() -> None:
    assert RULES.keys() == METHODS.keys()
    assert all(rule.scopes for rule in RULES.values())


@pytest.mark.parametrize("method", METHODS)
def test_every_name_of_an_event_is_looked_at(method: str) -> None:
    naming = {
        path
        for path, field in fields(METHODS[method].input_type)
        if field.type == FieldDescriptor.TYPE_STRING and field.name in NAMING
    }
    looked_at = set(RULES[method].events) | ELSEWHERE.get(method, set())
    assert naming == looked_at


@pytest.mark.parametrize("method", METHODS)
def test_embeddings_need_their_scope(method: str) -> None:
    """Both ways: a vector can be turned back into a face, and searching with made-up ones is how
    that is done without any."""

    def with_vector(message: Descriptor) -> set[str]:
        kind = "facepass.v1.Embedding"
        found = fields(message)
        return {path for path, f in found if f.message_type and f.message_type.full_name == kind}

    rule = RULES[method]
    assert rule.needs == {
        path: Scope.EMBEDDINGS for path in with_vector(METHODS[method].input_type)
    }
    if with_vector(METHODS[method].output_type):
        assert rule.scopes == {Scope.EMBEDDINGS}


@pytest.mark.parametrize("method", METHODS)
def test_a_stream_of_requests_says_where_something_begins(method: str) -> None:
    told = METHODS[method]
    assert bool(RULES[method].begins) == told.client_streaming
    if told.client_streaming:
        assert RULES[method].begins in told.input_type.fields_by_name
