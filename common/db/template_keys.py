"""Which keys the events of the database need."""

import logging
from collections.abc import Set

from common.db.pool import Database
from common.db.sql import load_queries

SQL = load_queries("common.db")
log = logging.getLogger(__name__)


async def report_missing_keys(database: Database, known: Set[str]) -> None:
    """Log which keys of events are not among the `known` ids. Raises DatabaseUnavailable.

    No reason not to start: other events can be searched, and of these photos, people and all can
    still be deleted.
    """
    async with database.statements() as connection:
        rows = await connection.fetch(SQL["events_by_template_key"], sorted(known))
    for row in rows:
        log.error(
            "templates of %d events cannot be compared: the key %s is not in the file of "
            "FACEPASS_TEMPLATES__KEY_FILE",
            row["events"],
            row["template_key"],
            extra={"action": "template_key_missing", "key": row["template_key"]},
        )
