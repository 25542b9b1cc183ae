"""How callers come in: the port, its certificate, and who they are."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc

from common.config import CommonSettings
from common.metrics import Metrics
from common.rpc.access import Access, access_of
from common.rpc.protection import require_protected, warn_of_openness
from common.rpc.tls import Certificates


class Entrance:
    """One server's entrance. certificates: None for plain text."""

    def __init__(self, listen: str, access: Access, certificates: Certificates | None) -> None:
        self.access = access
        self._listen = listen
        self._certificates = certificates

    def open(self, server: grpc.aio.Server) -> int:
        """Have the server listen; returns the port. Raises RuntimeError where it cannot."""
        if self._certificates is None:
            return server.add_insecure_port(self._listen)
        return server.add_secure_port(self._listen, self._certificates.credentials())


@asynccontextmanager
async def entrance_of(
    listen: str, settings: CommonSettings, metrics: Metrics
) -> AsyncIterator[Entrance]:
    """The entrance at an address, with keys that are kept fresh for as long as the context lasts.

    Raises SetupError where it would be open to others, or files cannot be used.
    """
    require_protected(listen, settings.tls, settings.auth)
    warn_of_openness(listen, settings.tls, settings.auth)
    certificates = Certificates(settings.tls, metrics) if settings.tls.certificate else None
    async with access_of(settings.auth, settings.tls, metrics) as access:
        yield Entrance(listen, access, certificates)
