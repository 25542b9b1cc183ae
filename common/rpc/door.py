"""What is let in: nothing before a server can serve, nothing new once it is told to stop."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import grpc

from common.errors import FacePassError, ShuttingDown, Starting
from common.rpc.status import grpc_status_of

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class Door:
    """Refuses calls while it is shut, and knows how many of those it let in have not ended.

    closing: set once the server is told to stop, for handlers that would go on for long.
    """

    def __init__(self) -> None:
        self._refusal: FacePassError | None = Starting("the server is starting; try again")
        self._inside = 0
        self._empty = asyncio.Event()
        self._empty.set()
        self.closing = asyncio.Event()

    def open(self) -> None:
        """Let calls in."""
        self._refusal = None

    def close(self) -> None:
        """Refuse from now on, and tell those inside."""
        self._refusal = stopping()
        self.closing.set()

    def refusing_handler(self) -> "Handler | None":
        """What answers a call instead of its handler, where it is refused."""
        return None if self._refusal is None else _refusing(self._refusal)

    def enter(self) -> None:
        """Count a call that begins."""
        self._inside += 1
        self._empty.clear()

    def leave(self) -> None:
        """Count a call that ends."""
        self._inside -= 1
        if not self._inside:
            self._empty.set()

    async def emptied(self, within_s: float) -> bool:
        """Wait until every call has ended; False where some have not in that time."""
        try:
            async with asyncio.timeout(within_s):
                await self._empty.wait()
        except TimeoutError:
            return False
        return True


def stopping() -> ShuttingDown:
    return ShuttingDown("the server is shutting down; go on with another one, or here later")


def _refusing(refusal: FacePassError) -> Handler:
    # On the wire a stream may stand for a single message, so one kind answers all methods, without
    # waiting for what the caller sends.
    async def refuse(
        _requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[bytes]:
        await context.abort_with_status(grpc_status_of(refusal))
        yield b""

    return grpc.stream_stream_rpc_method_handler(refuse)
