"""Token buckets, by a clock of the test's own."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from common.quotas.buckets import Charge, MemoryBuckets


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def of(bucket: str, amount: float, *, most: float = 10, per_s: float = 2) -> Charge:
    return Charge(bucket, most, per_s, amount)


async def test_a_full_bucket_gives_what_it_holds_and_fills_up() -> None:
    clock = Clock()
    buckets = MemoryBuckets(clock)
    for _ in range(10):
        assert await buckets.take([of("a", 1)]) is None
    short = await buckets.take([of("a", 1)])
    assert short is not None and (short.bucket, short.wait_s) == ("a", 0.5)
    clock.now += short.wait_s
    assert await buckets.take([of("a", 1)]) is None
    assert await buckets.take([of("a", 1)]) is not None
    clock.now += 3600
    assert [await buckets.take([of("a", 1)]) is None for _ in range(11)] == [True] * 10 + [False]


async def test_nothing_is_taken_where_one_has_too_little() -> None:
    clock = Clock()
    buckets = MemoryBuckets(clock)
    assert await buckets.take([of("a", 9), of("b", 1)]) is None
    short = await buckets.take([of("a", 2), of("b", 9)])
    assert short is not None and short.bucket == "a"
    assert await buckets.take([of("b", 9)]) is None


async def test_more_than_a_bucket_holds_is_owed() -> None:
    clock = Clock()
    buckets = MemoryBuckets(clock)
    assert await buckets.take([of("a", 30)]) is None
    short = await buckets.take([of("a", 0)])
    assert short is not None and short.wait_s == 10.0
    clock.now += 10
    assert await buckets.take([of("a", 0)]) is None
    await buckets.owe([of("a", 4)])
    short = await buckets.take([of("a", 0)])
    assert short is not None and short.wait_s == 2.0


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 10)), max_size=60))
def test_never_more_than_the_burst_and_what_came_since(calls: list[tuple[float, float]]) -> None:
    async def run() -> None:
        clock = Clock()
        buckets = MemoryBuckets(clock)
        given_out: list[tuple[float, float]] = []
        for pause_s, amount in calls:
            clock.now += pause_s
            short = await buckets.take([of("a", amount)])
            if short is None:
                given_out.append((clock.now, amount))
            else:
                # Who comes back when told to is let in.
                clock.now += short.wait_s
                assert await buckets.take([of("a", amount)]) is None
                given_out.append((clock.now, amount))
        for first in range(len(given_out)):
            for last in range(first, len(given_out)):
                total = sum(amount for _, amount in given_out[first : last + 1])
                assert total <= 10 + 2 * (given_out[last][0] - given_out[first][0]) + 1e-3

    asyncio.run(run())
