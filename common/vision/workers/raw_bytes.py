"""Bytes of an image between two processes, around their Connection.

`Connection` takes several times as long for them: it packs and unpacks them, and its buffer grows
with every piece of 200 KB that a socket holds.
"""

import os
from multiprocessing.connection import Connection
from typing import Any, TypeAlias

Line: TypeAlias = "Connection[Any, Any]"


def send_bytes(connection: Line, data: memoryview) -> None:
    """Send contiguous bytes; the other side must know how many. Raises OSError when it is gone."""
    left = data.cast("B")
    while left:
        left = left[os.write(connection.fileno(), left) :]


def receive_into(connection: Line, buffer: memoryview) -> None:
    """Fill a contiguous buffer. Raises EOFError, OSError when the other side is gone."""
    left = buffer.cast("B")
    while left:
        read = os.readv(connection.fileno(), [left])
        if not read:
            raise EOFError
        left = left[read:]
