"""How many photos may be under way at once."""

import asyncio
import random
from dataclasses import dataclass
from pathlib import Path

from facepass.v1 import indexer_pb2


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """How much may be under way, and how stubborn the client is.

    photos, size_bytes: most that is taken from the caller and not yet answered; one photo larger
    than `size_bytes` goes alone. attempts: connections in a row that may break without one photo
    answered. first_wait_s, longest_wait_s: pause before a new connection, doubled each time.
    """

    photos: int = 64
    size_bytes: int = 128 * 1024 * 1024
    attempts: int = 10
    first_wait_s: float = 0.2
    longest_wait_s: float = 5.0

    def wait_s(self, failures: int) -> float:
        """Return the pause after so many failures in a row, shortened at random by up to half."""
        longest = min(self.longest_wait_s, self.first_wait_s * 2.0 ** (failures - 1))
        return longest * random.uniform(0.5, 1.0)


@dataclass(frozen=True, slots=True)
class Admitted:
    """A photo that may be sent: its place in the order, what is said of it, its content."""

    key: int
    header: indexer_pb2.PhotoHeader
    content: bytes | Path


class Window:
    """Photos that were taken from the caller and are not answered yet, in the order they came."""

    def __init__(self, limits: UploadLimits) -> None:
        self._limits = limits
        self._open: dict[int, Admitted] = {}
        self._size_bytes = 0
        self._next_key = 0
        self._complete = False
        self._changed = asyncio.Condition()

    def __len__(self) -> int:
        return len(self._open)

    async def room_for_one(self) -> None:
        """Wait until one more photo may be asked for."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self._open) < self._limits.photos)

    async def add(self, header: indexer_pb2.PhotoHeader, content: bytes | Path) -> None:
        """Take a photo in, as soon as its bytes fit."""
        size_bytes = header.content_length
        async with self._changed:
            await self._changed.wait_for(
                lambda: not self._open or self._size_bytes + size_bytes <= self._limits.size_bytes
            )
            self._open[self._next_key] = Admitted(self._next_key, header, content)
            self._next_key += 1
            self._size_bytes += size_bytes
            self._changed.notify_all()

    async def complete(self) -> None:
        """Say that no more photos will come."""
        async with self._changed:
            self._complete = True
            self._changed.notify_all()

    async def after(self, key: int) -> Admitted | None:
        """Wait for the first unanswered photo behind `key`; None when no more will come."""
        async with self._changed:
            while True:
                for photo in self._open.values():
                    if photo.key > key:
                        return photo
                if self._complete:
                    return None
                await self._changed.wait()

    async def answered(self, key: int) -> None:
        """Take a photo out, which makes room."""
        async with self._changed:
            self._size_bytes -= self._open.pop(key).header.content_length
            self._changed.notify_all()
