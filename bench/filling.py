"""One event with faces, as the Indexer would have written it."""

from pydantic import SecretStr

from bench.fill_repository import PACK
from bench.templates import FACES_PER_PHOTO, Templates
from bench.writer import Writer
from common.config import DatabaseSettings
from common.db.events import EventReader, PackRegistry
from common.db.opening import open_database
from common.event import EventFields
from common.names import EventName
from common.templates.keys import NO_KEYS, TemplateKeys
from indexer.event_repository import EventRepository
from indexer.write_repository import WriteRepository

_AT_A_TIME = 64


async def fill(
    dsn: str, name: EventName, templates: Templates, keys: TemplateKeys = NO_KEYS
) -> None:
    """Make an event, rotated where there are keys, and write these faces to it."""
    async with open_database(DatabaseSettings(dsn=SecretStr(dsn), pool_size=2)) as database:
        reader = EventReader(PackRegistry(), keys)
        async with database.transaction() as connection:
            pack = await PackRegistry().register(connection, PACK)
        events = EventRepository(database, reader, keys.first)
        event = await events.create(name, EventFields(), None)
        writer = Writer(WriteRepository(database, reader, pack), event)
        photos = [
            writer.photo(templates[first : first + FACES_PER_PHOTO])
            for first in range(0, len(templates), FACES_PER_PHOTO)
        ]
        for first in range(0, len(photos), _AT_A_TIME):
            await writer.write(photos[first : first + _AT_A_TIME])
