"""Charging calls to their subject and their event."""

import asyncio
from collections.abc import Iterator, Mapping
from enum import Enum

from common.audit.note import note
from common.auth.caller import caller
from common.config import QuotaSettings
from common.db.pool import Database
from common.errors import QuotaExceeded
from common.metrics import Metrics
from common.quotas.buckets import Buckets, Charge, MemoryBuckets
from common.quotas.repository import SharedBuckets

MEGA = 1_000_000


class Kind(Enum):
    """What is counted. Values are the settings', less what follows."""

    SEARCHES = "searches"
    PHOTOS = "photos"
    MEGABYTES = "megabytes"
    MEGAPIXELS = "megapixels"


_PHOTO = {Kind.PHOTOS: 1, Kind.MEGABYTES: 0, Kind.MEGAPIXELS: 0}
"""Of what is charged once it is known, nothing may be owed."""


class Quotas:
    """The quotas of one server. Who calls, and about which events, is known from the call."""

    def __init__(self, settings: QuotaSettings, buckets: Buckets, metrics: Metrics) -> None:
        told = settings.model_dump()
        self._of_subject = {k: v for k in Kind if (v := told[f"{k.value}_per_minute"])}
        self._burst_s = settings.burst_s
        self._of_event = {k: v for k in Kind if (v := told[f"event_{k.value}_per_minute"])}
        self._buckets = buckets
        self._metrics = metrics

    async def search(self, size_bytes: int) -> None:
        """Charge a search, whose request is so large. Raises QuotaExceeded."""
        await self._take({Kind.SEARCHES: 1, Kind.MEGABYTES: size_bytes / MEGA, Kind.MEGAPIXELS: 0})

    async def photo(self) -> None:
        """Charge a photo to index, before it is known. Raises QuotaExceeded."""
        await self._take(_PHOTO)

    async def photo_in_turn(self) -> None:
        """The same for a photo of a stream, whose caller is made to wait: refused, the others of
        the stream would be given up and charged once more when they come again."""
        while True:
            try:
                return await self._take(_PHOTO)
            except QuotaExceeded as exceeded:
                await asyncio.sleep(exceeded.retry_after_s)

    async def arrived(self, size_bytes: int) -> None:
        """Charge a photo's bytes, now that they are here."""
        await self._owe({Kind.MEGABYTES: size_bytes / MEGA})

    async def stored_already(self) -> None:
        """Give back a photo that is no new one."""
        await self._owe({Kind.PHOTOS: -1})

    async def decoded(self, pixels: int) -> None:
        """Charge an image that was decoded. Who owes more than there was is refused until that is
        made up for."""
        await self._owe({Kind.MEGAPIXELS: pixels / MEGA})

    async def _take(self, amounts: Mapping[Kind, float]) -> None:
        charges = list(self._charges(amounts))
        short = await self._buckets.take(charges) if charges else None
        if short is not None:
            limit = short.bucket.partition("/")[0]
            message = f"the quota is used up for now (limit: {limit})"
            raise refusal(message, limit, short.wait_s, self._metrics)

    async def _owe(self, amounts: Mapping[Kind, float]) -> None:
        if charges := list(self._charges(amounts)):
            await self._buckets.owe(charges)

    def _charges(self, amounts: Mapping[Kind, float]) -> Iterator[Charge]:
        current = note.get()
        for kind, amount in amounts.items():
            if per_minute := self._of_subject.get(kind):
                yield self._charge(f"{kind.value}/{caller.get().subject}", per_minute, amount)
            if (per_minute := self._of_event.get(kind)) and current is not None:
                for event in current.events:
                    yield self._charge(f"event_{kind.value}/{event}", per_minute, amount)

    def _charge(self, bucket: str, per_minute: float, amount: float) -> Charge:
        per_s = per_minute / 60
        return Charge(bucket, per_s * self._burst_s, per_s, amount)


def refusal(message: str, limit: str, wait_s: float, metrics: Metrics) -> QuotaExceeded:
    """What to raise where a quota is used up; it is counted."""
    metrics.quota_refusals.labels(limit).inc()
    return QuotaExceeded(message, limit=limit, retry_after_s=wait_s)


def open_quotas(settings: QuotaSettings, database: Database, metrics: Metrics) -> Quotas:
    """The quotas that the settings ask for."""
    buckets = SharedBuckets(database) if settings.shared else MemoryBuckets()
    return Quotas(settings, buckets, metrics)
