"""The servers that one connection string names, and which of them is connected to."""

import random
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg

_PATIENCE_S = 60.0
_NEXT = (OSError, asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError)


class Hosts:
    """Connects to one of them. Each gets its share of the time: one that is cut off from us does
    not answer at all, and the next one may."""

    def __init__(self, dsn: str, *, replicas: bool = False) -> None:
        """Those that take writes count, the one that served last first; of `replicas` any, begun
        with at random, so that many callers spread over them."""
        self._dsns = list(each_host(dsn))
        self._options = {} if replicas else {"target_session_attrs": "read-write"}
        if replicas:
            random.shuffle(self._dsns)

    async def connect(self, *_: object, **options: Any) -> asyncpg.Connection:
        """As asyncpg.connect, which a pool may call in its place. Raises what the last one did."""
        share_s = options.pop("timeout", _PATIENCE_S) / len(self._dsns)
        failed: Exception | None = None
        for dsn in list(self._dsns):
            try:
                connection = await asyncpg.connect(
                    dsn, timeout=share_s, **{**options, **self._options}
                )
            except asyncpg.TargetServerAttributeNotMatched:
                failed = failed or ConnectionRefusedError("it takes no writes")
                continue
            except _NEXT as error:
                failed = error
                continue
            self._dsns.remove(dsn)
            self._dsns.insert(0, dsn)
            return connection
        assert failed is not None
        raise failed


async def connect(dsn: str, **options: Any) -> asyncpg.Connection:
    """Connect to the server of `dsn` that takes writes, for something done once."""
    return await Hosts(dsn).connect(**options)


def each_host(dsn: str) -> Sequence[str]:
    """One connection string for each host of `dsn`, in order."""
    parts = urlsplit(dsn)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    user, at, hosts = parts.netloc.rpartition("@")
    named = (hosts or query.pop("host", "")).split(",")
    ports = query.pop("port", "").split(",")
    if len(named) == 1 or len(ports) not in (1, len(named)):
        return [dsn]
    ports = ports * len(named) if len(ports) == 1 else ports
    found = []
    for host, port in zip(named, ports, strict=True):
        settings = query | ({"port": port} if port else {})
        netloc = f"{user}{at}{host}" if hosts else parts.netloc
        settings |= {"host": host} if host and not hosts else {}
        found.append(urlunsplit(parts._replace(netloc=netloc, query=urlencode(settings))))
    return found
