"""Named queries: SQL stands in `queries.sql` files, each under a line `-- name --`."""

import re
from importlib import resources

_HEADING = re.compile(r"^-- (\w+) --$", re.MULTILINE)


def load_queries(package: str) -> dict[str, str]:
    """Read the queries of `<package>/queries.sql` by name. Raises ValueError when a name stands
    twice."""
    text = resources.files(package).joinpath("queries.sql").read_text(encoding="utf-8")
    parts = _HEADING.split(text)[1:]
    queries: dict[str, str] = {}
    for name, body in zip(parts[::2], parts[1::2], strict=True):
        if name in queries:
            raise ValueError(f"{package}/queries.sql has the query {name} twice")
        queries[name] = body.strip()
    return queries
