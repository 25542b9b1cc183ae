"""The second wall between events: whether Postgres holds them apart for the role that we are."""

from dataclasses import dataclass

import asyncpg

from common.db.sql import load_queries
from common.errors import SetupError

SQL = load_queries("common.db")
ADVICE = (
    "use a plain role of its own for FACEPASS_DATABASE__DSN, and the tables' owner for "
    "FACEPASS_DATABASE__MIGRATION_DSN; docs/security.md has the commands"
)


@dataclass(frozen=True, slots=True)
class Wall:
    """What one role could see past it."""

    role: str
    above: tuple[str, ...]
    """Roles that it is, or may become, for which row-level security does not count."""
    open_tables: tuple[str, ...]
    """Tables of personal data without row-level security for this role, `ev_<n>.face` included."""
    canaries: int
    """Rows seen that nobody may see."""

    @property
    def holes(self) -> str:
        """In words; empty where there are none."""
        said = []
        if self.above:
            said.append(f"it is, or may become, {', '.join(self.above)}")
        if self.open_tables:
            said.append(f"no row-level security counts for it on {', '.join(self.open_tables)}")
        if self.canaries:
            said.append(f"it sees {self.canaries} rows that no policy lets through")
        return "; ".join(said)

    def require(self) -> None:
        """Raises SetupError where there are any."""
        if self.holes:
            raise SetupError(
                f"role {self.role} could see faces of any event: {self.holes}. FacePass does not "
                f"run like this: {ADVICE}"
            )


async def examine_wall(connection: asyncpg.Connection) -> Wall:
    """Look at it from a connection that has not named an event. The migrations must have run."""
    row = await connection.fetchrow(SQL["wall"])
    canaries = await connection.fetchval(SQL["canaries"])
    return Wall(row["role"], tuple(row["above"]), tuple(row["open_tables"]), canaries)
