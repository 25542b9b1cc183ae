"""`/metrics` over HTTP."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import make_wsgi_app

from common.metrics import Metrics

_LOOK_S = 0.02
"""How soon it notices that it is to end; prometheus_client's own takes up to half a second, for
which the server's calls would stand still."""


@contextmanager
def metrics_endpoint(metrics: Metrics, listen: str) -> Iterator[int | None]:
    """Serve `/metrics` on `host:port` from a thread; yields the port, or None when `listen` is
    empty. Raises OSError and ValueError for an address that cannot be used."""
    if not listen:
        yield None
        return
    host, _, port = listen.rpartition(":")
    with _Server(host.strip("[]"), int(port)) as server:
        server.set_app(make_wsgi_app(metrics.registry))
        thread = threading.Thread(target=server.serve_forever, args=[_LOOK_S], daemon=True)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


class _Server(ThreadingMixIn, WSGIServer):
    """A thread a scrape, which nobody waits for in the end."""

    daemon_threads = True

    def __init__(self, host: str, port: int) -> None:
        stream, passive = socket.SOCK_STREAM, socket.AI_PASSIVE
        found = socket.getaddrinfo(host, port, type=stream, flags=passive)[0]
        self.address_family = found[0]
        super().__init__((str(found[4][0]), port), _Silent)


class _Silent(WSGIRequestHandler):
    """Scrapes are no news."""

    def log_message(self, *_: object) -> None:
        pass
