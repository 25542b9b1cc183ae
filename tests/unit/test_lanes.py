"""The two lanes of the worker pool: order, bounds, cancellation, closing."""

import asyncio

import pytest

from common.errors import Overloaded, ProcessingFailed
from common.vision.workers.lanes import Lanes


async def settle() -> None:
    """Let every task run until it waits."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_urgent_items_overtake_in_their_own_order() -> None:
    lanes: Lanes[str] = Lanes(4)
    await lanes.put("gala", "photo 1")
    await lanes.put("gala", "photo 2")
    lanes.put_urgent("gala", "selfie 1", retry_after_s=1)
    lanes.put_urgent("gala", "selfie 2", retry_after_s=1)
    taken = [await lanes.take() for _ in range(4)]
    assert taken == ["selfie 1", "selfie 2", "photo 1", "photo 2"]


async def test_a_full_lane_makes_photos_wait_and_refuses_selfies() -> None:
    lanes: Lanes[str] = Lanes(1)
    await lanes.put("gala", "photo 1")
    second = asyncio.create_task(lanes.put("gala", "photo 2"))
    third = asyncio.create_task(lanes.put("gala", "photo 3"))
    await settle()
    assert (len(lanes), second.done(), third.done()) == (1, False, False)
    # A queue full of photos turns no selfie away; a queue full of selfies does.
    lanes.put_urgent("gala", "selfie 1", retry_after_s=1)
    with pytest.raises(Overloaded) as refused:
        lanes.put_urgent("gala", "selfie 2", retry_after_s=7)
    assert refused.value.retry_after_s == 7
    taken = []
    for _ in range(4):
        taken.append(await lanes.take())
        await settle()
    assert taken == ["selfie 1", "photo 1", "photo 2", "photo 3"]


async def test_cancelled_waiters_and_discarded_items_leave_room() -> None:
    lanes: Lanes[int] = Lanes(2)
    await lanes.put("gala", 0)
    await lanes.put("gala", 1)
    waiters = [asyncio.create_task(lanes.put("gala", number)) for number in range(2, 300)]
    await settle()
    for waiter in waiters:
        waiter.cancel()
    await asyncio.gather(*waiters, return_exceptions=True)
    lanes.discard("gala", 0)
    lanes.discard("gala", 1)
    lanes.discard("gala", 1)
    assert len(lanes) == 0
    await asyncio.wait_for(lanes.put("gala", 300), 5)
    await asyncio.wait_for(lanes.put("gala", 301), 5)
    third = asyncio.create_task(lanes.put("gala", 302))
    await settle()
    assert not third.done()
    assert [await lanes.take() for _ in range(3)] == [300, 301, 302]


async def test_no_event_waits_for_all_that_another_has_queued() -> None:
    lanes: Lanes[str] = Lanes(8)
    for number in range(3):
        lanes.put_urgent("loud", f"loud selfie {number}", retry_after_s=1)
        await lanes.put("loud", f"loud photo {number}")
    lanes.put_urgent("quiet", "quiet selfie", retry_after_s=1)
    await lanes.put("quiet", "quiet photo")
    lanes.discard("loud", "loud photo 1")
    taken = [await lanes.take() for _ in range(7)]
    assert taken[:4] == ["loud selfie 0", "quiet selfie", "loud selfie 1", "loud selfie 2"]
    assert taken[4:] == ["loud photo 0", "quiet photo", "loud photo 2"]


async def test_no_event_waits_for_room_behind_all_of_another() -> None:
    lanes: Lanes[str] = Lanes(1)
    await lanes.put("loud", "loud 0")
    waiters = [
        asyncio.create_task(lanes.put(owner, f"{owner} {number}"))
        for owner, number in [("loud", 1), ("loud", 2), ("loud", 3), ("quiet", 0), ("gone", 0)]
    ]
    await settle()
    waiters.pop().cancel()
    taken = []
    for _ in range(5):
        taken.append(await lanes.take())
        await settle()
    assert taken == ["loud 0", "loud 1", "quiet 0", "loud 2", "loud 3"]


async def test_room_given_to_one_who_just_left_is_given_on() -> None:
    lanes: Lanes[int] = Lanes(1)
    await lanes.put("gala", 0)
    first, second = (asyncio.create_task(lanes.put("gala", number)) for number in (1, 2))
    await settle()
    assert await lanes.take() == 0
    first.cancel()
    await settle()
    assert first.cancelled() and second.done()
    assert await lanes.take() == 2
    third = asyncio.create_task(lanes.put("gala", 3))
    fourth = asyncio.create_task(lanes.put("gala", 4))
    await settle()
    assert third.done() and not fourth.done()
    fourth.cancel()
    # Taken before it could say that it leaves: the room is nobody's then.
    assert await lanes.take() == 3
    await settle()
    await asyncio.wait_for(lanes.put("gala", 5), 5)
    assert len(lanes) == 1


async def test_whose_turn_was_comes_last_also_with_what_comes_later() -> None:
    lanes: Lanes[int] = Lanes(8)
    lanes.put_urgent("loud", 1, retry_after_s=1)
    assert await lanes.take() == 1
    lanes.put_urgent("loud", 2, retry_after_s=1)
    lanes.put_urgent("loud", 3, retry_after_s=1)
    lanes.put_urgent("quiet", 4, retry_after_s=1)
    lanes.put_urgent("third", 5, retry_after_s=1)
    assert [await lanes.take() for _ in range(4)] == [2, 4, 5, 3]


async def test_waiting_takers_get_one_item_each() -> None:
    lanes: Lanes[int] = Lanes(8)
    takers = [asyncio.create_task(lanes.take()) for _ in range(3)]
    await settle()
    for number in range(3):
        await lanes.put("gala", number)
    assert sorted(await asyncio.wait_for(asyncio.gather(*takers), 5)) == [0, 1, 2]


async def test_one_who_takes_only_urgent_items_leaves_the_others() -> None:
    lanes: Lanes[str] = Lanes(8)
    choosy = asyncio.create_task(lanes.take(only_urgent=True))
    await settle()
    await lanes.put("gala", "photo 1")
    taker = asyncio.create_task(lanes.take())
    await settle()
    assert taker.done() and not choosy.done()
    anyone = asyncio.create_task(lanes.take())
    await settle()
    await lanes.put("gala", "photo 2")
    lanes.put_urgent("gala", "selfie", retry_after_s=1)
    assert {await choosy, await anyone} == {"selfie", "photo 2"}


async def test_closing_fails_everyone_who_waits_for_room() -> None:
    lanes: Lanes[int] = Lanes(1)
    await lanes.put("gala", 0)
    waiters = [asyncio.create_task(lanes.put("gala", number)) for number in range(1, 20)]
    await settle()
    lanes.close()
    outcomes = await asyncio.wait_for(asyncio.gather(*waiters, return_exceptions=True), 5)
    assert all(isinstance(outcome, ProcessingFailed) for outcome in outcomes)
    with pytest.raises(ProcessingFailed):
        await lanes.put("gala", 20)
    with pytest.raises(ProcessingFailed):
        lanes.put_urgent("gala", 21, retry_after_s=1)
    assert len(lanes) == 0
