"""Probes: what a search or comparison is made with."""

import asyncio
from pathlib import Path

from facepass.v1 import searcher_pb2, types_pb2

ProbeLike = bytes | Path | str | types_pb2.Embedding | searcher_pb2.Probe
"""An image's bytes, the path of an image, the name of an indexed face
(`events/{event}/photos/{photo}/faces/{face}`), an embedding, or a finished probe."""


async def probe(sample: ProbeLike, *, face_index: int | None = None) -> searcher_pb2.Probe:
    """Make a probe.

    face_index: which face of an image, 0 for the largest; None lets the server choose.
    Raises OSError when a file cannot be read, ValueError for a `str` that is no face name.
    """
    made = searcher_pb2.Probe()
    match sample:
        case searcher_pb2.Probe():
            made.CopyFrom(sample)
        case types_pb2.Embedding():
            made.embedding.CopyFrom(sample)
        case bytes():
            made.image = sample
        case Path():
            made.image = await asyncio.to_thread(sample.read_bytes)
        case str():
            made.face = face_name(sample)
    if face_index is not None:
        made.face_index = face_index
    return made


def face_name(name: str) -> str:
    """Return a face's name as it is. Raises ValueError for anything else, such as a path."""
    parts = name.split("/")
    if len(parts) != 6 or parts[::2] != ["events", "photos", "faces"]:
        raise ValueError(f"not a face name: {name!r}. Give a file as pathlib.Path.")
    return name
