"""A client that indexes and deletes by a seed, and keeps a journal of it."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from hashlib import sha256

from facepass import AsyncClient, FacePassError, NotFound, PhotoSource, UploadLimits
from facepass.v1 import indexer_pb2, types_pb2
from journal import Drawn, End, Journal, Kind, stories

from common.vision.fake.photos import PALETTE, POOR_SHOT, fake_photo

SIZE = (320, 240)
STUBBORN = UploadLimits(photos=24, patience_s=60, first_wait_s=0.05, longest_wait_s=0.5)
_GOOD = {types_pb2.PHOTO_STATE_INDEXED, types_pb2.PHOTO_STATE_DUPLICATE}


class SeededClient:
    """Works on one event."""

    def __init__(self, client: AsyncClient, event: str, journal: Journal, seed: int) -> None:
        self._client = client
        self._event = event
        self._journal = journal
        self._random = random.Random(seed)
        self._drawn = 0
        self._kept: list[Drawn] = []

    async def burst(self, photos: int, answered: Callable[[int], None]) -> None:
        """Index so many photos in a stream, with some single calls and deletions beside it.

        answered: told after each answer of the stream how many there were. Photos of earlier bursts
        are sent again or deleted, never both.
        """
        earlier = self._random.sample(self._kept, min(len(self._kept), photos // 5))
        gone, again = earlier[::2], earlier[1::2]
        self._kept = [photo for photo in self._kept if photo not in gone]
        streamed = [*(self._draw() for _ in range(photos - len(again))), *again]
        self._random.shuffle(streamed)
        alone = [self._draw() for _ in range(photos // 10)]
        await asyncio.gather(
            self._stream(streamed, answered), self._index_alone(alone), self._delete(gone)
        )

    async def settle(self) -> None:
        """Send again what no answer came for, or failed: once more is enough, and not too much."""
        open_ends = [
            story.photo
            for story in stories(self._journal.path)
            if not (story.must_be_there or {kind for kind, _ in story.steps} & {Kind.DELETE})
        ]
        await self._stream(open_ends, lambda _: None)
        ids = Counter(
            [p.name.rpartition("/")[2] async for p in self._client.list_photos(self._event)]
        )
        assert {ids[photo.photo_id] for photo in open_ends} <= {1}
        assert all(photo in self._kept for photo in open_ends)

    def _draw(self) -> Drawn:
        self._drawn += 1
        people = self._random.sample(range(len(PALETTE)), self._random.randint(0, 4))
        shot = self._random.randrange(POOR_SHOT)
        photo = Drawn(f"photo-{self._drawn:05}", tuple(people), shot, "")
        digest = sha256(_content(photo)).hexdigest()
        return Drawn(photo.photo_id, photo.people, shot, digest)

    async def _stream(self, photos: Sequence[Drawn], answered: Callable[[int], None]) -> None:
        begun: dict[str, tuple[int, Drawn]] = {}

        async def source() -> AsyncIterator[PhotoSource]:
            for photo in photos:
                begun[photo.photo_id] = self._journal.begin(Kind.INDEX, photo), photo
                yield PhotoSource(photo.photo_id, _content(photo))

        results = self._client.index_photos(self._event, source(), limits=STUBBORN)
        count = 0
        async for result in results:
            number, photo = begun.pop(result.photo_id)
            self._end(number, photo, result)
            count += 1
            answered(count)

    async def _index_alone(self, photos: Sequence[Drawn]) -> None:
        for photo in photos:
            number = self._journal.begin(Kind.INDEX, photo)
            try:
                source = PhotoSource(photo.photo_id, _content(photo))
                result = await self._client.index_photo(self._event, source)
            except FacePassError:
                self._journal.end(number, End.UNKNOWN)
            else:
                self._end(number, photo, result)

    def _end(self, number: int, photo: Drawn, result: indexer_pb2.PhotoResult) -> None:
        if result.state not in _GOOD:
            self._journal.end(number, End.FAILED)
            return
        self._journal.end(number, End.ACKNOWLEDGED)
        if photo not in self._kept:
            self._kept.append(photo)

    async def _delete(self, photos: Sequence[Drawn]) -> None:
        for photo in photos:
            number = self._journal.begin(Kind.DELETE, photo)
            try:
                await self._client.delete_photo(self._event, photo.photo_id)
            except NotFound:
                raise AssertionError(f"{photo} was acknowledged, and is not there") from None
            except FacePassError:
                self._journal.end(number, End.UNKNOWN)
            else:
                self._journal.end(number, End.ACKNOWLEDGED)


def _content(photo: Drawn) -> bytes:
    return fake_photo(photo.people, shot=photo.shot, size=SIZE)
