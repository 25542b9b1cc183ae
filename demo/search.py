"""The demo's way through FacePass: an event, its photos in, every guest's photos out."""

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import facepass
from facepass.v1 import searcher_pb2, types_pb2
from tqdm import tqdm

from demo.album import Album, Guest

EVENT = "demo"


@dataclass(frozen=True, slots=True)
class Indexed:
    """What became of the photos. rejected: file name and reason of each."""

    photos: int
    faces: int
    rejected: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one guest's selfie found."""

    guest: Guest
    answer: searcher_pb2.SearchResponse

    @property
    def photos(self) -> frozenset[str]:
        """File names of the photos found."""
        return frozenset(match.file_name for match in self.answer.matches)

    @property
    def expected(self) -> int | None:
        """Photos that show the guest; None where nobody knows."""
        return None if self.guest.shown_in is None else len(self.guest.shown_in)

    @property
    def found(self) -> int:
        """Photos found that show the guest; all photos found where nobody knows."""
        if self.guest.shown_in is None:
            return len(self.answer.matches)
        return len(self.photos & self.guest.shown_in)

    @property
    def wrong(self) -> int | None:
        """Photos found that do not show the guest; None where nobody knows."""
        return None if self.guest.shown_in is None else len(self.photos - self.guest.shown_in)


def index(client: facepass.Client, album: Album) -> Indexed:
    """Create the event and stream its photos in, with a progress bar on standard error."""
    photos = facepass.folder(album.photos)
    client.create_event(EVENT, display_name="FacePass demo")
    states: Counter[types_pb2.PhotoState] = Counter()
    faces = 0
    rejected: list[tuple[str, str]] = []
    results = client.index_photos(EVENT, photos)
    for result in tqdm(results, total=len(photos), desc="Indexing", unit="photo", file=sys.stderr):
        states[result.state] += 1
        faces += len(result.photo.faces)
        if result.HasField("status"):
            rejected.append((result.photo_id, result.status.message))
    indexed = states[types_pb2.PHOTO_STATE_INDEXED] + states[types_pb2.PHOTO_STATE_DUPLICATE]
    return Indexed(indexed, faces, tuple(rejected))


def search(client: facepass.Client, guests: Sequence[Guest]) -> list[Outcome]:
    """Search with every guest's selfie, at the pack's own threshold."""
    return [Outcome(guest, client.search(EVENT, guest.selfie)) for guest in guests]
