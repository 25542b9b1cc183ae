"""Messages as no honest caller sends them, made from what the protos allow."""

import math
import random
from typing import Any
from uuid import UUID

from facepass.v1 import events_pb2, indexer_pb2, searcher_pb2
from google.longrunning import operations_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from common.paging import encode_token, fingerprint
from common.vision.fake.photos import fake_photo

TEXTS = (
    "", "gala", "events/gala", "events/nowhere", "events/gala/photos/p",
    "events/gala/photos/p/faces/1", "events/gala/photos/p/faces/2147483648", "events/../gala",
    "events/" + "a" * 64, "operations",
    f"operations/{UUID(int=7)}", str(UUID(int=7)), "operations/-", "\0", "a\0b", "é", "\u202egala",
    "🙂" * 100, "'; DROP TABLE event; --", "%00", "{}", "a" * 100_000, "[" * 2000, "fake@0000001f",
    "settings", "display_name", "ttl", "2026-01-01",
    encode_token(fingerprint("ListEvents"), ["\0"]),
    encode_token(fingerprint("ListOperations"), ["no uuid"]),
)  # fmt: skip
PHOTO = fake_photo([3])
CONTENTS = (b"", b"\0", b"\xff\xd8\xff", PHOTO, PHOTO[:-9], bytes(32), bytes(100_000))
FLOATS = (0.0, -0.0, 1.0, 0.5, -1.0, math.nan, math.inf, -math.inf, 1e-45, 3.4e38, 1.0001)
SERVICES = (
    events_pb2.DESCRIPTOR.services_by_name["Events"],
    indexer_pb2.DESCRIPTOR.services_by_name["Indexer"],
    searcher_pb2.DESCRIPTOR.services_by_name["Searcher"],
    operations_pb2.DESCRIPTOR.services_by_name["Operations"],
)


METHODS = [
    method for service in SERVICES for method in service.methods if not method.server_streaming
]
"""What the servers offer, less streams."""


def odd(descriptor: Any, choice: random.Random) -> Any:
    """A message of that type with some of its fields set, and few of them well."""
    message = GetMessageClass(descriptor)()
    for field in descriptor.fields:
        if choice.random() < 0.6:
            _fill(message, field, choice)
    return message


def _fill(message: Message, field: FieldDescriptor, choice: random.Random) -> None:
    nested = field.message_type
    if nested is not None and nested.GetOptions().map_entry:
        for _ in range(choice.choice((0, 1, 50))):
            getattr(message, field.name)[choice.choice(TEXTS)[:5000]] = choice.choice(TEXTS)[:5000]
    elif field.is_repeated:
        many = (0, 1, 2) if nested is not None else (0, 1, 62, 10_000)
        values = (_value(field, choice) for _ in range(choice.choice(many)))
        short = (each[:1000] if isinstance(each, str | bytes) else each for each in values)
        getattr(message, field.name).extend(short)
    elif nested is not None:
        getattr(message, field.name).CopyFrom(_value(field, choice))
    else:
        setattr(message, field.name, _value(field, choice))


def _value(field: FieldDescriptor, choice: random.Random) -> Any:
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_MESSAGE:
            assert field.message_type is not None
            return odd(field.message_type, choice)
        case FieldDescriptor.CPPTYPE_STRING if field.type == FieldDescriptor.TYPE_BYTES:
            return choice.choice(CONTENTS)
        case FieldDescriptor.CPPTYPE_STRING:
            return choice.choice(TEXTS)
        case FieldDescriptor.CPPTYPE_FLOAT | FieldDescriptor.CPPTYPE_DOUBLE:
            return choice.choice(FLOATS)
        case FieldDescriptor.CPPTYPE_BOOL:
            return choice.random() < 0.5
        case FieldDescriptor.CPPTYPE_ENUM:
            return choice.choice((0, 1, 2, 99, -1))
        case FieldDescriptor.CPPTYPE_INT64:
            return choice.choice((0, 1, -1, 2**31, 2**63 - 1, -(2**63)))
    return choice.choice((0, 1, -1, 7, 2**31 - 1, -(2**31)))


def has_field(descriptor: Any, path: str) -> bool:
    """Whether a path, such as `probes[0].embedding.values`, names a field or a oneof."""
    name, _, rest = path.partition(".")
    name = name.partition("[")[0]
    if name in descriptor.oneofs_by_name:
        return not rest
    field = descriptor.fields_by_name.get(name)
    if field is None:
        return False
    return not rest or (field.message_type is not None and has_field(field.message_type, rest))
