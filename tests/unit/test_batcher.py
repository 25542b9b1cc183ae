"""Batches form over all callers; each gets its own results, urgent ones first, and nobody
waits for another's crowd."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.vision.batches import Unfit
from common.vision.workers.batcher import Batcher, ModelBroken

PATIENCE_S = 30


class Doubler:
    """A model of numbers: doubles them. It may be held, and there are numbers that it fails on."""

    def __init__(self, fails_on: Sequence[int] = ()) -> None:
        self.free = threading.Event()
        self.free.set()
        self.begun = threading.Semaphore(0)
        self.batches: list[list[int]] = []
        self._fails_on = fails_on

    def run(self, items: Sequence[int]) -> list[int | Unfit]:
        self.batches.append(list(items))
        self.begun.release()
        assert self.free.wait(PATIENCE_S)
        if set(items) & set(self._fails_on):
            raise RuntimeError("cannot be doubled")
        return [Unfit("odd one out") if item == 13 else 2 * item for item in items]


class Callers:
    """Threads that ask a batcher, which is held by a first item until all of them wait."""

    def __init__(self, model: Doubler, sizes: Sequence[int]) -> None:
        self._model = model
        self.batcher: Batcher[int, int] = Batcher(sizes, model.run, 0, lambda *_: nullcontext())
        self._pool = ThreadPoolExecutor(32)
        self._waiting = 0
        model.free.clear()
        threading.Thread(target=self.batcher.serve, daemon=True).start()
        self._first = self._pool.submit(self.batcher.ask, [-1])
        assert model.begun.acquire(timeout=PATIENCE_S)

    def ask(self, items: Sequence[int], *, urgent: bool = False) -> "Future[list[int | Unfit]]":
        """Ask, and see that it has arrived before anyone asks after it."""
        asked = self._pool.submit(self.batcher.ask, items, urgent=urgent)
        self._waiting += len(items)
        while self.batcher.waiting < self._waiting:
            time.sleep(0.001)
        return asked

    def let_go(self) -> list[list[int]]:
        """Run all that waits; returns the batches after the first item's."""
        self._model.free.set()
        self._pool.shutdown()
        return self._model.batches[1:]


@given(st.lists(st.lists(st.integers(0, 12), max_size=9), max_size=6), st.booleans())
def test_each_caller_gets_the_results_of_its_own_items(
    asked: list[list[int]], urgent: bool
) -> None:
    callers = Callers(Doubler(), [1, 4, 16])
    answers = [callers.ask(items, urgent=urgent and n % 2 == 0) for n, items in enumerate(asked)]
    callers.let_go()
    assert [answer.result() for answer in answers] == [[2 * i for i in items] for items in asked]


def test_what_waits_is_run_together_but_never_more_than_the_largest_size() -> None:
    callers = Callers(Doubler(), [1, 4, 8])
    for n in range(20):
        callers.ask([n])
    assert [len(batch) for batch in callers.let_go()] == [8, 8, 4]


def test_urgent_callers_overtake() -> None:
    callers = Callers(Doubler(), [1, 2])
    callers.ask([1, 2])
    callers.ask([3])
    callers.ask([100, 101, 102], urgent=True)
    assert callers.let_go() == [[100, 101], [102, 1], [3, 2]]


def test_nobody_waits_for_the_whole_of_a_crowd() -> None:
    callers = Callers(Doubler(), [1, 4])
    callers.ask(range(1000, 1400))
    for n in range(3):
        callers.ask([n])
    batches = callers.let_go()
    assert batches[0] == [1000, 0, 1, 2]
    assert [item for batch in batches[1:] for item in batch] == list(range(1001, 1400))


def test_a_crowd_gets_its_turn_beside_many() -> None:
    callers = Callers(Doubler(), [4])
    callers.ask([100, 101])
    for n in range(7):
        callers.ask([n, n])
    order = [item for batch in callers.let_go() for item in batch]
    assert order.index(101) == 8


def test_what_a_model_makes_nothing_of_fails_alone() -> None:
    callers = Callers(Doubler(), [1, 4])
    bad, good = callers.ask([1, 13, 2]), callers.ask([3])
    callers.let_go()
    first, second, third = bad.result()
    assert (first, third, good.result()) == (2, 4, [6])
    assert isinstance(second, Unfit)


def test_where_a_run_fails_each_item_is_tried_alone() -> None:
    callers = Callers(Doubler(fails_on=[7]), [1, 4])
    bad, good = callers.ask([7]), callers.ask([1, 2, 3])
    batches = callers.let_go()
    assert good.result() == [2, 4, 6]
    (failed,) = bad.result()
    assert isinstance(failed, Unfit) and "cannot be doubled" in str(failed)
    assert len(batches) == 5


def test_a_model_that_fails_on_everything_is_broken() -> None:
    """Its process ends then, so that nothing is told of an item that is not to blame."""
    model = Doubler(fails_on=[0, 1])
    batcher: Batcher[int, int] = Batcher([1], model.run, 0, lambda *_: nullcontext())
    answers: list[object] = []
    asking = threading.Thread(target=lambda: answers.append(batcher.ask([1])), daemon=True)
    asking.start()
    with pytest.raises(ModelBroken, match="cannot be doubled"):
        batcher.serve()
    assert answers == []
