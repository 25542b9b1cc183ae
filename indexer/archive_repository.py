"""What the database says of the archive of its log."""

from common.db.log_archive import LogArchive, examine_archive
from common.db.pool import Database


class ArchiveRepository:
    """Asks how the archive stands."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def state(self) -> LogArchive:
        """Raises DatabaseUnavailable."""
        async with self._database.statements() as connection:
            return await examine_archive(connection)
