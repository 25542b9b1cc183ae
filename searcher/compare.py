"""Comparing two faces one to one."""

from dataclasses import dataclass

from common.audit.note import count
from common.db.events import EventReader
from common.db.pool import Connection, Database
from common.errors import PackMismatch
from common.event import StoredPack
from common.vision.types import Pack
from searcher.probes import (
    FaceProbe,
    ImageProbe,
    Probe,
    ProbeReader,
    ProbeReading,
    read_embedding,
)
from searcher.repository import read_template
from searcher.thresholds import Thresholds


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both sides, and their similarity where both could be used."""

    left: ProbeReading
    right: ProbeReading
    similarity: float | None
    thresholds: Thresholds
    pack: str


class Compare:
    """The use case. Both sides must come from the same pack."""

    def __init__(
        self, database: Database, reader: EventReader, probes: ProbeReader, pack: Pack
    ) -> None:
        self._database = database
        self._reader = reader
        self._probes = probes
        self._pack = pack

    async def compare(self, left: Probe, right: Probe) -> Comparison:
        """Raises EventNotFound, FaceNotFound, PackMismatch, TemplateKeyMissing, InvalidArgument,
        InvalidImage."""
        one, one_pack = await self._read(left, "left")
        other, other_pack = await self._read(right, "right")
        if one_pack.key != other_pack.key:
            raise PackMismatch(
                f"the left side was made by {one_pack.key}, the right by {other_pack.key}",
                metadata={"left_pack": one_pack.key, "right_pack": other_pack.key},
            )
        similarity = None
        if one.embedding is not None and other.embedding is not None:
            similarity = float(one.embedding @ other.embedding)
        thresholds = Thresholds.of(one_pack)
        usable = sum(side.embedding is not None for side in (one, other))
        matches = similarity is not None and similarity >= thresholds.min_similarity
        count(probes=2, usable=usable, matches=int(matches))
        return Comparison(one, other, similarity, thresholds, one_pack.key)

    async def _read(self, probe: Probe, field: str) -> tuple[ProbeReading, Pack | StoredPack]:
        if isinstance(probe, ImageProbe):
            return await self._probes.image(probe, field), self._pack
        if isinstance(probe, FaceProbe):
            face = probe.name

            async def work(connection: Connection) -> tuple[ProbeReading, Pack | StoredPack]:
                event = await self._reader.get(connection, face.photo.event)
                embedding = await read_template(connection, event, face)
                return ProbeReading(embedding), event.pack or self._pack

            return await self._database.read(work, face.photo.event)
        own = StoredPack(
            0,
            self._pack.key,
            self._pack.dimension,
            self._pack.min_similarity,
            self._pack.confident_similarity,
            self._pack.calibration,
        )
        return read_embedding(probe, own, f"{field}.embedding"), self._pack
