"""What the database says of its size."""

from common.db.pool import Database
from common.db.sql import load_queries

SQL = load_queries("indexer")


class SpaceRepository:
    """Asks how large the database is."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def database_bytes(self) -> int:
        """Size of the whole database, in bytes."""
        async with self._database.statements() as connection:
            return int(await connection.fetchval(SQL["database_bytes"]))
