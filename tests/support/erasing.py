"""What tests of erasure share: marker templates, and looking for them in files and in memory."""

import asyncio
import resource
from collections.abc import Iterable, Iterator
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
from facepass.v1 import erasures_pb2
from numpy.typing import NDArray

from common.vision.fake.engine import FakeEngine
from searcher.block import ZERO, codes_of

_ENTRY = np.dtype("<u8")
_PRESENT_OR_SWAPPED = np.uint64(62)
_PIECE = 16
"""Halves of one needle: enough that none stands anywhere by chance, few enough to see a rest."""


def templates_of(people: Iterable[int], shots: Iterable[int]) -> list[NDArray[np.float32]]:
    """What the fake engine makes of people."""
    engine = FakeEngine()
    return [engine.embedding(person, shot) for person in people for shot in shots]


def needles(templates: Iterable[NDArray[np.float32]]) -> list[bytes]:
    """A piece of each template in half and single precision and both byte orders, and one of its
    end as it is stored."""
    found = []
    for template in templates:
        half = template.astype(np.float16)
        found += [half.astype(kind)[:_PIECE].tobytes() for kind in ("<f2", ">f2")]
        found += [template.astype(kind)[:_PIECE].tobytes() for kind in ("<f4", ">f4")]
        found += [half.astype(np.float32)[:_PIECE].tobytes(), half[-_PIECE:].tobytes()]
    return found


def _count(data: bytes, wanted: Iterable[bytes]) -> int:
    return sum(data.count(each) for each in wanted)


def hits_in_files(folder: Path, templates: Iterable[NDArray[np.float32]]) -> dict[str, int]:
    """How often any of the templates stands in each file below a folder, those without left out."""
    wanted = needles(templates)
    found = {}
    for path in folder.rglob("*"):
        if path.is_file():
            try:
                hits = _count(path.read_bytes(), wanted)
            except FileNotFoundError:  # Postgres makes and removes files all the time
                continue
            if hits:
                found[path.relative_to(folder).as_posix()] = hits
    return found


def hits_in_memory(pid: int, templates: Iterable[NDArray[np.float32]]) -> int:
    """How often the beginning of any of the templates stands in the memory of a process, as it is
    stored, as Postgres sends it, as it is computed with, and as a gallery keeps it. Raises
    PermissionError."""
    halves = [template.astype(np.float16) for template in templates]
    kinds = ("<f2", ">f2", "<f4")
    wanted = [half[:_PIECE].astype(kind).tobytes() for half in halves for kind in kinds]
    codes, _ = codes_of(np.array(halves, dtype=np.float32))
    wanted += [code[:_PIECE].tobytes() for code in (codes + ZERO).astype(np.uint8)]
    return count_in_memory(pid, wanted)


def count_in_memory(pid: int, wanted: Iterable[bytes]) -> int:
    """How often any of these stands in the memory of a process. Raises PermissionError."""
    wanted = list(wanted)
    hits = 0
    with (
        open(f"/proc/{pid}/maps") as maps,
        open(f"/proc/{pid}/mem", "rb", 0) as memory,
        open(f"/proc/{pid}/pagemap", "rb", 0) as pages,
    ):
        for line in maps:
            place, rights = line.split()[:2]
            if not rights.startswith("rw") or "[v" in line:
                continue
            start, end = (int(each, 16) for each in place.split("-"))
            for first, last in _held(pages, start, end):
                try:
                    memory.seek(first)
                    hits += _count(memory.read(last - first), wanted)
                except OSError:  # gone meanwhile
                    continue
    return hits


def _held(pages: FileIO, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The parts of a place in memory that hold something: most of what a process may use, it never
    wrote to."""
    size = resource.getpagesize()
    pages.seek(start // size * _ENTRY.itemsize)
    entries = np.frombuffer(pages.read((end - start) // size * _ENTRY.itemsize), _ENTRY)
    edges = np.flatnonzero(np.diff(entries >> _PRESENT_OR_SWAPPED > 0, prepend=False, append=False))
    for first, last in edges.reshape(-1, 2).tolist():
        yield start + first * size, start + last * size


async def receipt(servers: Any, name: str) -> Any:
    request = erasures_pb2.GetErasureRequest(name=name)
    return (await servers.indexer.GetErasure(request)).erasure


async def physically_gone(servers: Any, name: str, within_s: float = 60.0) -> erasures_pb2.Erasure:
    """The receipt once the database's files hold nothing of it."""
    async with asyncio.timeout(within_s):
        while True:
            found: erasures_pb2.Erasure = await receipt(servers, name)
            if found.HasField("physical_time"):
                return found
            await asyncio.sleep(0.1)
