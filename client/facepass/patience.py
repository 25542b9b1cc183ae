"""How long to wait after a failure, and when it is enough."""

import asyncio
import logging
import time

import grpc

from facepass.errors import FacePassError, ResourceExhausted, Unavailable
from facepass.window import UploadLimits

log = logging.getLogger("facepass")


class Patience:
    """Waits between the connections of one upload."""

    def __init__(self, limits: UploadLimits) -> None:
        self._limits = limits
        self._failures = 0
        self._since_s = 0.0

    def progressed(self) -> None:
        """Take note of an answered photo: the server is there."""
        self._failures = 0

    async def wait(self, failure: FacePassError, unanswered: int) -> None:
        """Wait before the next connection, and log that. Raises `failure` where none would help, or
        none did for too long."""
        now_s = time.monotonic()
        if not self._failures:
            self._since_s = now_s
        self._failures += 1
        # What the server asks for is the least: clients that were told the same come back apart.
        pause_s = (failure.retry_after_s or 0.0) + self._limits.wait_s(self._failures)
        if not self._passes(failure) or now_s + pause_s > self._since_s + self._limits.patience_s:
            raise failure
        log.warning(
            "The upload was interrupted (%s). Photos to send again: %d, in %.1f s.",
            failure,
            unanswered,
            pause_s,
        )
        await asyncio.sleep(pause_s)

    def _passes(self, failure: FacePassError) -> bool:
        # A server that stops, and a proxy in front of it, cancels the streams that it has.
        cancelled = failure.code is grpc.StatusCode.CANCELLED
        # The next connection has a new token, where there is one.
        expired = failure.reason == "TOKEN_EXPIRED" and self._failures == 1
        return is_for_now(failure) or cancelled or expired or failure.retry_after_s is not None


def is_for_now(failure: FacePassError) -> bool:
    """Whether other photos would fail with the same now, and this one may not later."""
    return isinstance(failure, Unavailable | ResourceExhausted)
