"""Who is to be erased."""

import asyncio
from datetime import datetime, timedelta
from pathlib import Path

from google.protobuf import duration_pb2

from facepass.names import event_name
from facepass.probes import face_name
from facepass.times import timestamp
from facepass.v1 import erasures_pb2

Sample = bytes | Path | str
"""A selfie's bytes or path, or the name of an indexed face
(`events/{event}/photos/{photo}/faces/{face}`)."""


async def erase_request(
    event: str,
    sample: Sample,
    *,
    face_index: int | None,
    min_similarity: float | None,
    suppress: datetime | timedelta | None,
    validate_only: bool,
) -> erasures_pb2.ErasePersonRequest:
    """Make the request. Raises OSError when a file cannot be read, ValueError for a `str` that is
    no face name or a time without a time zone."""
    until = timestamp(suppress) if isinstance(suppress, datetime) else None
    made = erasures_pb2.ErasePersonRequest(
        event=event_name(event),
        suppress_until=until,
        face_index=face_index,
        min_similarity=min_similarity or 0.0,
        validate_only=validate_only,
    )
    match sample:
        case bytes():
            made.image = sample
        case Path():
            made.image = await asyncio.to_thread(sample.read_bytes)
        case str():
            made.face = face_name(sample)
    if isinstance(suppress, timedelta):
        made.suppress_for.CopyFrom(duration_pb2.Duration())
        made.suppress_for.FromTimedelta(suppress)
    return made
