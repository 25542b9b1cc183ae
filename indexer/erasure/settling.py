"""Waiting until no Searcher holds anything of what was removed, and the journal tells of it."""

import asyncio
from uuid import UUID

from indexer.erasure.erasures import Removed
from indexer.erasure.journal import ErasureJournal
from indexer.erasure.receipt_repository import ReceiptRepository

_LOOK_S = 0.01


class Settling:
    """Waits for Searchers. Bounded: each confirms, or its heartbeat becomes stale."""

    def __init__(self, receipts: ReceiptRepository, journal: ErasureJournal | None) -> None:
        self._receipts = receipts
        self._journal = journal

    async def settled(self, removed: Removed) -> str:
        """Wait, and return the receipt's name; empty where nothing was to be removed.

        A caller that goes away undoes nothing: the background settles the receipt.
        """
        if removed.erasure_id is None:
            return ""
        await self.wait(removed.erasure_id)
        return f"erasures/{removed.erasure_id}"

    async def wait(self, erasure_id: UUID) -> None:
        """Wait for one erasure. Raises DatabaseUnavailable."""
        while True:
            if await self._receipts.settle(erasure_id):
                break
            await asyncio.sleep(_LOOK_S)
        if self._journal is not None:
            await self._receipts.journal(self._journal, erasure_id)
