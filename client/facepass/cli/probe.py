"""Probes on the command line."""

from pathlib import Path

from facepass import ProbeLike
from facepass.probes import face_name
from facepass.v1 import searcher_pb2


def face_name_or_file(text: str) -> str | Path:
    """Take `events/.../faces/...` for an indexed face, anything else for a file."""
    try:
        return face_name(text)
    except ValueError:
        return Path(text)


def with_face_index(image: Path, face_index: int | None) -> ProbeLike:
    """Choose a face of an image file; without a choice the server takes the largest."""
    if face_index is None:
        return image
    return searcher_pb2.Probe(image=image.read_bytes(), face_index=face_index)
