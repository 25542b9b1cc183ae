"""Bringing an event's index to what its size calls for, when a caller asks for it."""

from collections.abc import Callable

from common.event import Event
from indexer.graphs.operation_repository import OperationRepository
from indexer.graphs.operations import Operation, Strategy
from indexer.graphs.promotion import wanted_strategy


class Optimizing:
    """Opens operations. `wake`: tells the background that there is work."""

    def __init__(
        self, operations: OperationRepository, wake: Callable[[], None], hnsw_min_faces: int
    ) -> None:
        self._operations = operations
        self._wake = wake
        self._hnsw_min_faces = hnsw_min_faces

    async def optimize(self, event: Event) -> Operation:
        """The operation that is under way, a new one, or one that is done where there is nothing to
        do."""
        strategy = wanted_strategy(event, self._hnsw_min_faces)
        nothing = event.relation is None and strategy is Strategy.EXACT
        if nothing and not await self._operations.is_open(event):
            return await self._operations.nothing_to_do(event, strategy)
        operation = await self._operations.open(event)
        self._wake()
        return operation
