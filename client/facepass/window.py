"""How many photos may be under way at once."""

import asyncio
import random
from dataclasses import dataclass, replace
from pathlib import Path

from facepass.v1 import indexer_pb2


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """How much may be under way, and how stubborn the client is.

    photos, size_bytes: most that is taken from the caller and not yet answered; one photo larger
    than `size_bytes` goes alone. tries: how often a photo is sent that FacePass FAILED on.
    patience_s: how long the server may be away, or have no room, without one photo answered.
    first_wait_s, longest_wait_s: pause before a new connection, doubled each time; where the server
    says how long to wait, that is added.
    """

    photos: int = 64
    size_bytes: int = 128 * 1024 * 1024
    tries: int = 2
    patience_s: float = 300.0
    first_wait_s: float = 0.2
    longest_wait_s: float = 5.0

    def wait_s(self, failures: int) -> float:
        """Return the pause after so many failures in a row, shortened at random by up to half."""
        doubled = 2.0 ** min(failures - 1, 60)
        return min(self.longest_wait_s, self.first_wait_s * doubled) * random.uniform(0.5, 1.0)


@dataclass(frozen=True, slots=True)
class Admitted:
    """A photo that may be sent: its place in the order, what is said of it, its content, and how
    often it was FAILED."""

    key: int
    header: indexer_pb2.PhotoHeader
    content: bytes | Path
    failures: int = 0


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
            self._size_bytes += size_bytes
            self._append(Admitted(self._next_key, header, content))

    async def complete(self) -> None:
        """Say that no more photos will come."""
        async with self._changed:
            self._complete = True
            self._changed.notify_all()

    async def after(self, key: int) -> Admitted | None:
        """Wait for the first unanswered photo behind `key`; None once every photo is answered and
        no more will come."""
        async with self._changed:
            while True:
                for photo in self._open.values():
                    if photo.key > key:
                        return photo
                if self._complete and not self._open:
                    return None
                await self._changed.wait()

    async def answered(self, key: int) -> None:
        """Take a photo out, which makes room."""
        async with self._changed:
            self._size_bytes -= self._open.pop(key).header.content_length
            self._changed.notify_all()

    async def failed(self, key: int) -> bool:
        """Put a photo behind all others, to be sent once more; False once it had its tries."""
        async with self._changed:
            photo = self._open[key]
            if photo.failures + 1 >= self._limits.tries:
                return False
            del self._open[key]
            self._append(replace(photo, key=self._next_key, failures=photo.failures + 1))
            return True

    def _append(self, photo: Admitted) -> None:
        self._open[photo.key] = photo
        self._next_key += 1
        self._changed.notify_all()
