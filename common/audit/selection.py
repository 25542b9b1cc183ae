"""Choosing lines of the record, and finding them in files."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from common.errors import SetupError


@dataclass(frozen=True, slots=True)
class Selection:
    """Which lines are asked for: those that fit all that is set. method: with or without its
    service. since, until: with a time zone; until is not included."""

    event: str | None = None
    subject: str | None = None
    method: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def fits(self, line: Mapping[str, Any]) -> bool:
        """Whether a line, read from JSON, is asked for."""
        time, method = datetime.fromisoformat(line["time"]), line["method"]
        return (
            (self.event is None or self.event in line["events"])
            and (self.subject is None or self.subject == line["subject"])
            and (self.method is None or self.method in (method, method.rpartition("/")[2]))
            and (self.since is None or time >= self.since)
            and (self.until is None or time < self.until)
        )


def lines_of(path: Path, wanted: Selection) -> Iterator[str]:
    """The lines of a file, in its order, without those that are not whole. Raises SetupError."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            for text in file:
                try:
                    fits = wanted.fits(json.loads(text))
                except (ValueError, KeyError, TypeError):
                    continue
                if fits:
                    yield text.rstrip("\n")
    except OSError as error:
        raise SetupError(f"cannot read {path}: {error}") from error
