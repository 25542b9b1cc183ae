"""The Indexer's writer, given faces instead of photos."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from itertools import count

import numpy as np
from pydantic import SecretStr

from bench.templates import Templates
from common.config import DatabaseSettings
from common.db.events import EventReader, PackRegistry
from common.db.opening import open_database
from common.event import Event, StoredPack
from common.names import EventName
from common.photo import PhotoInfo
from common.vision.types import Analysis, Box, Detection, Face, Quality
from indexer.write_repository import PhotoWrite, WriteRepository

_LANDMARKS = np.arange(10, dtype=np.float32).reshape(5, 2)
_DETECTION = Detection(Box(100.0, 100.0, 80.0, 100.0), _LANDMARKS, 0.9)
_QUALITY = Quality(0.8, 0.7, 0.5, 0.0, 0.0, 0.0)


class Writer:
    """Commits new photos of one event as the servers' role does."""

    def __init__(self, repository: WriteRepository, event: Event) -> None:
        self._repository = repository
        self._event = event
        self._numbers = count()

    def photo(self, templates: Templates) -> PhotoWrite:
        """A photo that nobody has sent before, with these faces."""
        name = f"new-{next(self._numbers):07d}.jpg"
        faces = tuple(Face(_DETECTION, _QUALITY, (), template) for template in templates)
        digest = sha256(name.encode()).digest()
        return PhotoWrite(PhotoInfo(name), digest, 4_000_000, Analysis(6000, 4000, faces), False)

    async def write(self, photos: Sequence[PhotoWrite]) -> None:
        """Commit photos together."""
        await self._repository.write(self._event, photos)


@asynccontextmanager
async def writing(dsn: str, pack: StoredPack, name: EventName) -> AsyncIterator[Writer]:
    """A writer to one event, with a pool of its own."""
    settings = DatabaseSettings(dsn=SecretStr(dsn), pool_size=2)
    async with open_database(settings) as database:
        reader = EventReader(PackRegistry())
        async with database.snapshot() as connection:
            event = await reader.get(connection, name)
        yield Writer(WriteRepository(database, reader, pack), event)
