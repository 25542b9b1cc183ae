"""Pixels between two processes: all of them, or none."""

import socket
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection

import numpy as np
import pytest

from common.vision.workers.device_line import receive_images
from common.vision.workers.raw_bytes import Line, send_bytes

SIDE = 400


@pytest.fixture
def ends() -> Iterator[tuple[Line, Line]]:
    one, other = (Connection(each.detach()) for each in socket.socketpair())
    yield one, other
    one.close()
    other.close()


def test_images_arrive_whole_though_the_memory_held_others(ends: tuple[Line, Line]) -> None:
    ours, theirs = ends
    for value in (200, 3):
        images = np.full((4, SIDE, SIDE, 3), value, np.uint8)
        sending = threading.Thread(target=send_bytes, args=(ours, images.data))
        sending.start()
        received = receive_images(theirs, 4, SIDE)
        sending.join()
        np.testing.assert_array_equal(received, images)
        del received, images  # its memory is what the next is received into


@pytest.mark.parametrize("missing", [1, SIDE * SIDE * 3])
def test_of_images_that_do_not_arrive_whole_there_is_none(
    ends: tuple[Line, Line], missing: int
) -> None:
    ours, theirs = ends
    images = np.full(2 * SIDE * SIDE * 3 - missing, 200, np.uint8)

    def send_and_die() -> None:
        send_bytes(ours, images.data)
        ours.close()

    sending = threading.Thread(target=send_and_die)
    sending.start()
    with pytest.raises(EOFError):
        receive_images(theirs, 2, SIDE)
    sending.join()
