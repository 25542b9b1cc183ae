"""How much may be under way."""

import asyncio
from typing import Any

import pytest
from facepass import UploadLimits
from facepass.v1 import indexer_pb2
from facepass.window import Window


def header(size_bytes: int) -> indexer_pb2.PhotoHeader:
    return indexer_pb2.PhotoHeader(photo_id="p", content_length=size_bytes)


async def is_waiting(task: "asyncio.Task[Any]") -> bool:
    """Whether a task still waits after everything that can happen has happened."""
    for _ in range(20):
        await asyncio.sleep(0)
    return not task.done()


async def test_no_photo_is_asked_for_while_the_window_is_full() -> None:
    window = Window(UploadLimits(photos=2))
    await window.add(header(1), b"")
    await window.room_for_one()
    await window.add(header(1), b"")
    waiting = asyncio.create_task(window.room_for_one())
    assert await is_waiting(waiting)
    await window.answered(1)
    await waiting


async def test_bytes_are_bounded_and_one_large_photo_goes_alone() -> None:
    window = Window(UploadLimits(size_bytes=100))
    await window.add(header(500), b"")
    waiting = asyncio.create_task(window.add(header(1), b""))
    assert await is_waiting(waiting)
    await window.answered(0)
    await waiting
    await window.add(header(99), b"")
    again = asyncio.create_task(window.add(header(1), b""))
    assert await is_waiting(again)
    await window.answered(1)
    await again


async def test_what_is_not_answered_is_given_out_again_in_order() -> None:
    window = Window(UploadLimits())
    for _ in range(4):
        await window.add(header(1), b"")
    await window.answered(1)
    await window.complete()
    keys = []
    for key in (-1, 0, 2):
        photo = await window.after(key)
        assert photo is not None
        keys.append(photo.key)
    assert keys == [0, 2, 3]


async def test_a_photo_that_failed_is_given_out_behind_the_others_until_it_had_its_tries() -> None:
    window = Window(UploadLimits(tries=2))
    for _ in range(2):
        await window.add(header(1), b"")
    await window.complete()
    assert await window.failed(0)
    again = await window.after(1)
    assert again is not None and again.header.content_length == 1
    assert not await window.failed(again.key)
    await window.answered(1)
    ending = asyncio.create_task(window.after(again.key))
    assert await is_waiting(ending), "it may fail yet"
    await window.answered(again.key)
    assert await ending is None


@pytest.mark.parametrize("failures", [1, 2, 5, 40, 4000])
def test_pauses_grow_to_a_bound(failures: int) -> None:
    limits = UploadLimits(first_wait_s=0.2, longest_wait_s=5.0)
    longest = 5.0 if failures > 5 else 0.2 * 2 ** (failures - 1)
    assert all(longest / 2 <= limits.wait_s(failures) <= longest for _ in range(50))
