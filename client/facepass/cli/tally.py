"""What came of indexing a folder."""

from dataclasses import dataclass, field

from facepass import from_status
from facepass.cli.output import note, print_json, say
from facepass.report import counted
from facepass.v1 import indexer_pb2, types_pb2

_MOST_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Problem:
    """A photo that was not indexed, and why."""

    photo_id: str
    file: str
    reason: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}: {self.message} ({self.reason})"


@dataclass
class Tally:
    """Counts of one run.

    photos: in the folder. known: indexed before, not sent again (counted by the sending thread).
    skipped: other files of the folder. faces, unindexed_faces: of the photos indexed in this run.
    """

    event: str
    photos: int
    skipped: int
    known: int = 0
    indexed: int = 0
    duplicates: int = 0
    faces: int = 0
    unindexed_faces: int = 0
    rejected: list[Problem] = field(default_factory=list)
    failed: list[Problem] = field(default_factory=list)

    @property
    def done(self) -> int:
        """Photos of which it is known what became of them."""
        settled = self.known + self.indexed + self.duplicates
        return settled + len(self.rejected) + len(self.failed)

    def add(self, result: indexer_pb2.PhotoResult, file: str) -> None:
        """Count a photo."""
        if result.state == types_pb2.PHOTO_STATE_INDEXED:
            self.indexed += 1
            self.faces += len(result.photo.faces)
            self.unindexed_faces += len(result.photo.unindexed_faces)
            return
        if result.state == types_pb2.PHOTO_STATE_DUPLICATE:
            self.duplicates += 1
            return
        error = from_status(result.status)
        problem = Problem(result.photo_id, file, error.reason, error.message)
        rejected = result.state == types_pb2.PHOTO_STATE_REJECTED
        (self.rejected if rejected else self.failed).append(problem)

    def finish(self, seconds: float, *, as_json: bool) -> None:
        """Print the summary."""
        if as_json:
            print_json(self._as_json(seconds))
            return
        rate = f" ({self.indexed / seconds:.1f} photos/s)" if self.indexed and seconds > 0 else ""
        say(
            f"Indexed {counted(self.indexed, 'photo')} with {counted(self.faces, 'face')} "
            f"in {seconds:.1f} s{rate}."
        )
        lines = [
            (self.known + self.duplicates, "already there"),
            (len(self.rejected), "rejected"),
            (len(self.failed), "failed"),
            (self.photos - self.done, "not reached"),
        ]
        for number, what in lines:
            if number:
                say(f"  {number:,} {what}")
        if self.unindexed_faces:
            left_out = counted(self.unindexed_faces, "face")
            say(f"  {left_out} left out by the quality filter; `facepass photo get` says why")
        if self.skipped:
            note(f"  {counted(self.skipped, 'other file')} in the folder: no JPEG, PNG or WebP")
        self._show("Rejected:", self.rejected)
        self._show("Failed (run the command again to try once more):", self.failed)

    def _show(self, heading: str, problems: list[Problem]) -> None:
        if not problems:
            return
        say(heading)
        for problem in problems[:_MOST_SHOWN]:
            say(f"  {problem}")
        if len(problems) > _MOST_SHOWN:
            say(f"  and {len(problems) - _MOST_SHOWN:,} more; --json lists them all")

    def _as_json(self, seconds: float) -> dict[str, object]:
        return {
            "event": self.event,
            "photos": self.photos,
            "indexed": self.indexed,
            "duplicates": self.known + self.duplicates,
            "faces": self.faces,
            "unindexed_faces": self.unindexed_faces,
            "rejected": [_as_json(problem) for problem in self.rejected],
            "failed": [_as_json(problem) for problem in self.failed],
            "not_reached": self.photos - self.done,
            "skipped_files": self.skipped,
            "seconds": round(seconds, 3),
        }


def _as_json(problem: Problem) -> dict[str, str]:
    return {
        "photo_id": problem.photo_id,
        "file": problem.file,
        "reason": problem.reason,
        "message": problem.message,
    }
