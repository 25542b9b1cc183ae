"""The space that an event's templates are kept in."""

import hmac
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from common.errors import TemplateKeyMissing
from common.templates.rotation import Rotation
from common.vision.types import EmbeddingVector

_DOMAIN = b"facepass rotation 1\0"


class TemplateSpace(Protocol):
    """Takes an embedding as engines make it into an event's own space, and back. All raise
    TemplateKeyMissing."""

    def require(self) -> None:
        """Nothing, where the space can be reached."""
        ...

    def into(self, embedding: EmbeddingVector) -> EmbeddingVector:
        """What is written, or compared with what was."""
        ...

    def out_of(self, template: EmbeddingVector) -> EmbeddingVector:
        """What the engine made."""
        ...


@dataclass(frozen=True, slots=True)
class PlainSpace:
    """That of engines itself."""

    def require(self) -> None:
        return

    def into(self, embedding: EmbeddingVector) -> EmbeddingVector:
        return embedding

    def out_of(self, template: EmbeddingVector) -> EmbeddingVector:
        return template


class RotatedSpace:
    """A rotation of an event's own, which nobody without the key can tell."""

    def __init__(self, key: bytes, event: UUID) -> None:
        self._key = key
        self._event = event
        self._rotations: dict[int, Rotation] = {}

    def require(self) -> None:
        return

    def into(self, embedding: EmbeddingVector) -> EmbeddingVector:
        return self._rotation(len(embedding)).apply(embedding)

    def out_of(self, template: EmbeddingVector) -> EmbeddingVector:
        return self._rotation(len(template)).undo(template)

    def _rotation(self, dimension: int) -> Rotation:
        known = self._rotations.get(dimension)
        if known is None:
            message = _DOMAIN + self._event.bytes + dimension.to_bytes(4, "big")
            seed = hmac.digest(self._key, message, "sha256")
            known = self._rotations[dimension] = Rotation(seed, dimension)
        return known


@dataclass(frozen=True, slots=True)
class LockedSpace:
    """One whose key is not here."""

    key_id: str

    def require(self) -> None:
        raise TemplateKeyMissing(
            f"the event's templates were written with the key {self.key_id}, which this server "
            "does not have; its operator has to add that key to the server's template keys",
            metadata={"key": self.key_id},
        )

    def into(self, embedding: EmbeddingVector) -> EmbeddingVector:
        self.require()
        return embedding

    def out_of(self, template: EmbeddingVector) -> EmbeddingVector:
        self.require()
        return template
