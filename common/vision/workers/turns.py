"""A queue in which nobody waits for all that somebody else has queued."""

from collections import OrderedDict, deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Turns(Generic[T]):
    """Items of one owner leave in the order they came; of several owners, one each by turns."""

    def __init__(self) -> None:
        self._queues: OrderedDict[str, deque[T]] = OrderedDict()

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def put(self, owner: str, item: T) -> None:
        """Queue behind what the owner has queued already."""
        self._queues.setdefault(owner, deque()).append(item)

    def take(self) -> T:
        """The next item of whose turn it is. Raises IndexError where there is none."""
        if not self._queues:
            raise IndexError("no item")
        owner, queue = next(iter(self._queues.items()))
        item = queue.popleft()
        self._queues.move_to_end(owner)
        self._remove_empty(owner)
        return item

    def discard(self, owner: str, item: T) -> bool:
        """Forget an item; returns whether it was still queued."""
        queue = self._queues.get(owner)
        if queue is None or item not in queue:
            return False
        queue.remove(item)
        self._remove_empty(owner)
        return True

    def clear(self) -> None:
        """Forget all."""
        self._queues.clear()

    def _remove_empty(self, owner: str) -> None:
        if not self._queues[owner]:
            del self._queues[owner]
