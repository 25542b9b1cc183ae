"""Reading events and packs: what both servers need before anything else."""

import asyncpg

from common.calibration import Calibration
from common.db.sql import load_queries
from common.errors import EventNotFound
from common.event import (
    Event,
    EventCounts,
    EventFields,
    EventSettings,
    Relation,
    Standing,
    StoredPack,
)
from common.names import EventName
from common.templates.keys import NO_KEYS, TemplateKeys
from common.vision.types import Detail, Pack, QualityFilter

SQL = load_queries("common.db")


def pack_from_row(row: asyncpg.Record) -> StoredPack:
    return StoredPack(
        row["pack_id"],
        row["key"],
        row["dimension"],
        row["min_similarity"],
        row["confident_similarity"],
        Calibration(row["impostor_mean"], row["impostor_sd"]),
    )


class PackRegistry:
    """The packs of the database. Rows never change, so each is read once."""

    def __init__(self) -> None:
        self._packs: dict[int, StoredPack] = {}

    async def by_id(self, connection: asyncpg.Connection, pack_id: int) -> StoredPack:
        """The pack with this id."""
        if pack_id not in self._packs:
            rows = await connection.fetch(SQL["packs"])
            self._packs = {row["pack_id"]: pack_from_row(row) for row in rows}
        return self._packs[pack_id]

    async def register(self, connection: asyncpg.Connection, pack: Pack) -> StoredPack:
        """The row of an engine's pack, made at its first use. Must not be in a transaction that may
        be rolled back."""
        for stored in self._packs.values():
            if stored.key == pack.key:
                return stored
        row = await connection.fetchrow(SQL["pack_by_key"], pack.key)
        if row is None:
            await connection.execute(
                SQL["insert_pack"],
                pack.key,
                pack.engine,
                pack.dimension,
                pack.min_similarity,
                pack.confident_similarity,
                pack.calibration.impostor_mean,
                pack.calibration.impostor_sd,
            )
            row = await connection.fetchrow(SQL["pack_by_key"], pack.key)
        stored = pack_from_row(row)
        self._packs[stored.pack_id] = stored
        return stored


class EventReader:
    """Reads events by name."""

    def __init__(self, packs: PackRegistry, keys: TemplateKeys = NO_KEYS) -> None:
        self._packs = packs
        self._keys = keys

    async def get(self, connection: asyncpg.Connection, name: EventName) -> Event:
        """Raises EventNotFound."""
        row = await connection.fetchrow(SQL["event_by_id"], name.key)
        if row is None or row["name"] != name.event:
            raise event_not_found(name)
        return await self.from_row(connection, row)

    async def from_row(self, connection: asyncpg.Connection, row: asyncpg.Record) -> Event:
        """Make an Event of a row of `event`; `photos_pending` is 0 where the query did not read
        it."""
        pack = None
        if row["pack_id"] is not None:
            pack = await self._packs.by_id(connection, row["pack_id"])
        return Event(
            name=EventName(row["name"]),
            uid=row["uid"],
            fields=_fields(row),
            counts=counts_from_row(row),
            pack=pack,
            space=self._keys.space(row["template_key"], row["uid"]),
            version=row["version"],
            revision=row["revision"],
            next_face_no=row["next_face_no"],
            tombstone_floor=row["tombstone_floor"],
            relation=_relation(row),
            create_time=row["create_time"],
            update_time=row["update_time"],
        )


def _fields(row: asyncpg.Record) -> EventFields:
    return EventFields(
        row["display_name"],
        row["location"],
        row["start_time"],
        row["expire_time"],
        EventSettings(
            QualityFilter(row["quality_filter"]), Detail(row["detail"]), row["min_similarity"]
        ),
    )


def counts_from_row(row: asyncpg.Record) -> EventCounts:
    return EventCounts(
        row["photos_indexed"],
        row["photos_rejected"],
        row.get("photos_pending", 0),
        row["faces"],
    )


def standing_from_row(row: asyncpg.Record) -> Standing:
    return Standing(
        row["uid"], row["version"], row["revision"], row["relation"], row["relation_mark"]
    )


def _relation(row: asyncpg.Record) -> Relation | None:
    if row["relation"] is None:
        return None
    return Relation(
        row["relation"],
        row["relation_mark"],
        row["relation_faces"],
        row["relation_bytes"],
        row["relation_ef"],
        row["relation_recall"],
        row["relation_time"],
    )


def event_not_found(name: EventName) -> EventNotFound:
    return EventNotFound(f"there is no event {name}", metadata={"event": str(name)})
