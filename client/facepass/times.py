"""Times on the wire."""

from datetime import datetime

from google.protobuf import timestamp_pb2


def timestamp(when: datetime | None) -> timestamp_pb2.Timestamp | None:
    """Return the wire's form. Raises ValueError for a time without a time zone."""
    if when is None:
        return None
    if when.tzinfo is None:
        raise ValueError(f"a time needs a time zone: {when.isoformat()}")
    made = timestamp_pb2.Timestamp()
    made.FromDatetime(when)
    return made
