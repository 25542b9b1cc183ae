"""How much may be under way."""

import asyncio

import pytest
from facepass import UploadLimits
from facepass.v1 import indexer_pb2
from facepass.window import Window


def header(size_bytes: int) -> indexer_pb2.PhotoHeader:
    return indexer_pb2.PhotoHeader(photo_id="p", content_length=size_bytes)


async def is_waiting(task: "asyncio.Task[None]") -> bool:
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
    keys, key = [], -1
    while (photo := await window.after(key)) is not None:
        key = photo.key
        keys.append(key)
    assert keys == [0, 2, 3]


@pytest.mark.parametrize("failures", [1, 2, 5, 40])
def test_pauses_grow_to_a_bound(failures: int) -> None:
    limits = UploadLimits(first_wait_s=0.2, longest_wait_s=5.0)
    longest = min(5.0, 0.2 * 2 ** (failures - 1))
    assert all(longest / 2 <= limits.wait_s(failures) <= longest for _ in range(50))
