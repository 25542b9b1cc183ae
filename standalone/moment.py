"""Times on the command line."""

from datetime import UTC, datetime


def moment(text: str) -> datetime:
    """A time as ISO 8601 writes it, in UTC where it does not say. Raises ValueError."""
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)
