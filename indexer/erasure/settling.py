"""Waiting until no Searcher holds anything of what was removed."""

import asyncio
from uuid import UUID

from indexer.erasure.erasures import Removed
from indexer.erasure.receipt_repository import ReceiptRepository

_LOOK_S = 0.01


class Settling:
    """Waits for Searchers. Bounded: each confirms, or its heartbeat becomes stale."""

    def __init__(self, receipts: ReceiptRepository) -> None:
        self._receipts = receipts

    async def settled(self, removed: Removed) -> str:
        """Wait, and return the receipt's name; empty where nothing was to be removed.

        A caller that goes away undoes nothing: the background settles the receipt.
        """
        if removed.erasure_id is None:
            return ""
        await self.wait(removed.erasure_id)
        return f"erasures/{removed.erasure_id}"

    async def wait(self, erasure_id: UUID) -> None:
        """Wait for one erasure."""
        while True:
            if await self._receipts.settle(erasure_id):
                return
            await asyncio.sleep(_LOOK_S)
