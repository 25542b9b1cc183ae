"""What a client did to an event and what it was told, on disk before the next step is taken."""

import json
import os
from dataclasses import asdict, dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any


class Kind(Enum):
    """What was asked for."""

    INDEX = "index"
    DELETE = "delete"


class End(Enum):
    """What the client knows of it."""

    ACKNOWLEDGED = "acknowledged"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Drawn:
    """A photo of the fake engine's: whom it shows, and what it was made into."""

    photo_id: str
    people: tuple[int, ...]
    shot: int
    sha256: str


@dataclass
class Story:
    """Everything that was asked for one photo, in order."""

    photo: Drawn
    steps: list[tuple[Kind, End]] = field(default_factory=list)

    @property
    def must_be_there(self) -> bool:
        """Its indexing was acknowledged, and nobody asked for its deletion."""
        kinds = {kind for kind, _ in self.steps}
        return Kind.DELETE not in kinds and (Kind.INDEX, End.ACKNOWLEDGED) in self.steps

    @property
    def must_be_gone(self) -> bool:
        """Its deletion was acknowledged; nobody indexes a photo again after that."""
        return (Kind.DELETE, End.ACKNOWLEDGED) in self.steps


class Journal:
    """Writes JSON lines, each on the disk before its method returns."""

    def __init__(self, path: Path, seed: int) -> None:
        self.path = path
        self._number = 0
        self._write({"seed": seed})

    def begin(self, kind: Kind, photo: Drawn) -> int:
        """Note what is about to be asked for; returns the operation's number."""
        self._number += 1
        self._write({"begin": self._number, "kind": kind.value, "photo": asdict(photo)})
        return self._number

    def end(self, number: int, end: End) -> None:
        """Note what came of it."""
        self._write({"end": number, "as": end.value})

    def _write(self, line: dict[str, object]) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())


def stories(path: Path) -> list[Story]:
    """Read a journal, which is all that the checker knows. What has no end is unknown."""
    lines: list[dict[str, Any]] = [json.loads(line) for line in path.read_text().splitlines()]
    ends = {line["end"]: End(line["as"]) for line in lines if "end" in line}
    told: dict[str, Story] = {}
    for line in lines:
        if "begin" in line:
            fields = line["photo"]
            photo = Drawn(**{**fields, "people": tuple(fields["people"])})
            story = told.setdefault(photo.photo_id, Story(photo))
            story.steps.append((Kind(line["kind"]), ends.get(line["begin"], End.UNKNOWN)))
    return list(told.values())
