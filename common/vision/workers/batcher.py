"""Batches over all who ask one model."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Generic

from common.vision.batches import Item, Result, Unfit, layout

logger = logging.getLogger(__name__)

Run = Callable[[Sequence[Item]], Sequence[Result | Unfit]]


class ModelBroken(RuntimeError):
    """A model fails on whatever it is given: its process is of no more use."""


class _Request(Generic[Item, Result]):
    """Items of one caller: `begun` of them are with the model or through."""

    def __init__(self, items: Sequence[Item]) -> None:
        self.items = items
        self.begun = 0
        self._results: list[Result | Unfit] = [Unfit("not run")] * len(items)
        self._left = len(items)
        self._settled = threading.Event()

    def settle(self, place: int, result: Result | Unfit) -> None:
        self._results[place] = result
        self._left -= 1
        if not self._left:
            self._settled.set()

    def wait(self) -> list[Result | Unfit]:
        self._settled.wait()
        return self._results


class Batcher(Generic[Item, Result]):
    """Runs one model, one batch at a time, on what waits for it.

    A batch takes what is there, without delay: urgent callers first, then one item of each caller
    by turns, so that nobody waits for the whole of somebody else's crowd.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        run: Run[Item, Result],
        blank: Item,
        running: Callable[[int, int], AbstractContextManager[None]],
    ) -> None:
        """sizes: of the batches that `run` takes, ascending. blank: an item that is always fit.
        running: a context of each run, told how many items it has in how many places."""
        self._sizes = sizes
        self._run = run
        self._blank = blank
        self._running = running
        self._urgent: deque[_Request[Item, Result]] = deque()
        self._patient: deque[_Request[Item, Result]] = deque()
        self._waiting = 0
        self._arrival = threading.Condition()

    @property
    def waiting(self) -> int:
        """Items that are not yet run."""
        return self._waiting

    def ask(self, items: Sequence[Item], *, urgent: bool = False) -> list[Result | Unfit]:
        """Wait for the result of each item; one that does not fit, or fails alone, is an Unfit."""
        if not items:
            return []
        request = _Request[Item, Result](items)
        with self._arrival:
            (self._urgent if urgent else self._patient).append(request)
            self._waiting += len(items)
            self._arrival.notify()
        return request.wait()

    def serve(self) -> None:
        """Run batches for ever, in one thread. Raises ModelBroken."""
        while True:
            places, size = self._take()
            items = [request.items[place] for request, place in places]
            with self._running(len(items), size):
                results = self._results(items)
            for (request, place), result in zip(places, results, strict=True):
                request.settle(place, result)

    def _take(self) -> tuple[list[tuple[_Request[Item, Result], int]], int]:
        """The next batch, by request and place in it, and its size."""
        taken: list[tuple[_Request[Item, Result], int]] = []
        with self._arrival:
            self._arrival.wait_for(lambda: self._waiting)
            batch = next(layout(self._waiting, self._sizes))
            for lane in (self._urgent, self._patient):
                while lane and len(taken) < batch.stop:
                    request = lane.popleft()
                    taken.append((request, request.begun))
                    request.begun += 1
                    if request.begun < len(request.items):
                        lane.append(request)
            self._waiting -= len(taken)
        return taken, batch.size

    def _results(self, items: Sequence[Item]) -> Sequence[Result | Unfit]:
        """Of a batch; where it fails, of each item alone."""
        try:
            return self._run(items)
        except Exception as error:  # whatever a model's runtime raises
            logger.warning("a batch of %d failed: %s", len(items), error)
        alone = [self._alone(item) for item in items]
        if all(isinstance(each, Unfit) for each in alone):
            try:
                self._run([self._blank])
            except Exception as error:  # as above
                raise ModelBroken(f"a model fails on everything: {error}") from error
        return alone

    def _alone(self, item: Item) -> Result | Unfit:
        try:
            return self._run([item])[0]
        except Exception as error:  # as above
            return Unfit(f"a model fails on it: {error}")
