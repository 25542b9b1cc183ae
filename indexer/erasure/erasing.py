"""Erasing a person from an event."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from common.config import ImageLimits
from common.errors import ImageTooLarge, InvalidArgument
from common.names import EventName, FaceName
from common.vision.types import AnalyzeOptions, EmbeddingVector, QualityFilter, Vision
from indexer.erasure.erasures import Person
from indexer.erasure.person_repository import PersonRepository, Sample
from indexer.erasure.settling import Settling

_MOST_FACES = 50


@dataclass(frozen=True, slots=True)
class Selfie:
    """An image, and which of its faces is meant; None where it must show one only."""

    content: bytes
    face_index: int | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Who is to be erased. min_similarity: 0 for the event's threshold of CONFIDENT."""

    event: EventName
    sample: Selfie | FaceName
    min_similarity: float
    suppress_until: datetime | None


class Erasing:
    """The use case."""

    def __init__(
        self, vision: Vision, people: PersonRepository, settling: Settling, limits: ImageLimits
    ) -> None:
        self._vision = vision
        self._people = people
        self._settling = settling
        self._limits = limits

    async def preview(self, wanted: Wanted) -> Person:
        """Who would go. Raises as `erase`."""
        sample = await self._read(wanted)
        return await self._people.find(wanted.event, sample, wanted.min_similarity)

    async def erase(self, wanted: Wanted) -> tuple[Person, UUID]:
        """Remove a person's faces; returns once no search and no Searcher's memory has them.

        Raises EventNotFound, FaceNotFound, PackMismatch, TemplateKeyMissing, InvalidArgument,
        InvalidImage, Overloaded, ProcessingFailed.
        """
        sample = await self._read(wanted)
        person, erasure_id = await self._people.erase(
            wanted.event, sample, wanted.min_similarity, wanted.suppress_until
        )
        await self._settling.wait(erasure_id)
        return person, erasure_id

    async def _read(self, wanted: Wanted) -> Sample:
        if isinstance(wanted.sample, FaceName):
            return wanted.sample
        return await self._template(wanted.sample, str(wanted.event))

    async def _template(self, selfie: Selfie, owner: str) -> EmbeddingVector:
        """What is removed cannot be brought back: a selfie that might mean somebody else is
        refused."""
        size, most = len(selfie.content), self._limits.max_probe_bytes
        if size > most:
            raise ImageTooLarge(f"image: {size} bytes, more than the limit of {most}")
        options = AnalyzeOptions(quality_filter=QualityFilter.LOW, max_faces=_MOST_FACES)
        analysis = await self._vision.analyze(selfie.content, options, owner=owner, urgent=True)
        faces = analysis.faces
        if selfie.face_index is not None:
            if not 0 <= selfie.face_index < len(faces):
                raise InvalidArgument(
                    "face_index", f"must be below the number of faces, {len(faces)}"
                )
            usable = [faces[selfie.face_index].embedding]
        else:
            usable = [face.embedding for face in faces]
        found = [embedding for embedding in usable if embedding is not None]
        if not found:
            raise InvalidArgument("image", "shows no face that can be compared")
        if len(found) > 1:
            raise InvalidArgument("image", "shows several faces; say which with face_index")
        return found[0]
