"""Traces of one server: whether there are any, and what it takes to send them."""

import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import grpc

from common.config import TraceSettings
from common.errors import SetupError
from common.metrics import Metrics
from common.rpc.protection import is_loopback
from common.traces.tracer import Tracer

Header = tuple[str, str]
_PLAIN, _ENCRYPTED = "http://", "https://"
_HEADERS = "FACEPASS_TRACES__HEADERS_FILE"
_HEADER = re.compile(r"([A-Za-z0-9_.-]+(?<!-bin)): *([!-~][ -~]*)")
"""Those that end in `-bin` are no text to gRPC."""
_RETRIES = {
    "name": [{"service": "opentelemetry.proto.collector.trace.v1.TraceService"}],
    "retryPolicy": {
        "maxAttempts": 3,
        "initialBackoff": "0.5s",
        "maxBackoff": "2s",
        "backoffMultiplier": 3,
        "retryableStatusCodes": ["UNAVAILABLE"],
    },
}


@asynccontextmanager
async def tracing(
    settings: TraceSettings, service: str, metrics: Metrics
) -> AsyncIterator[Tracer | None]:
    """The tracer of a server for as long as the context lasts, None where no collector is named.

    service: the name under which its spans are found. Raises SetupError.
    """
    if not settings.endpoint:
        yield None
        return
    try:
        # Imported only where it is used.
        from common.rpc.collector import Collector
    except ImportError as error:
        raise SetupError(
            "FACEPASS_TRACES__ENDPOINT needs a package that is not installed: "
            "pip install 'facepass-server[tracing]'"
        ) from error
    headers = _headers(settings)
    async with _channel(settings) as channel:
        collector = Collector(channel, headers, service, metrics)
        async with collector.sending():
            yield Tracer(settings.sample_ratio, collector.take)


def _channel(settings: TraceSettings) -> grpc.aio.Channel:
    options = [
        ("grpc.service_config", json.dumps({"methodConfig": [_RETRIES]})),
        ("grpc.max_reconnect_backoff_ms", 10_000),
    ]
    if settings.endpoint.startswith(_PLAIN):
        return grpc.aio.insecure_channel(settings.endpoint.removeprefix(_PLAIN), options)
    authorities = _read("FACEPASS_TRACES__CA", settings.ca) if settings.ca else None
    credentials = grpc.ssl_channel_credentials(authorities)
    return grpc.aio.secure_channel(settings.endpoint.removeprefix(_ENCRYPTED), credentials, options)


def _headers(settings: TraceSettings) -> Sequence[Header]:
    """What the file of headers says. Raises SetupError."""
    if not settings.headers_file:
        return ()
    plain = settings.endpoint.removeprefix(_PLAIN)
    if plain != settings.endpoint and not is_loopback(plain):
        raise SetupError(
            f"{_HEADERS}: they would go to {settings.endpoint} in plain text, for others to read: "
            "set FACEPASS_TRACES__ENDPOINT to https://..."
        )
    try:
        text = _read(_HEADERS, settings.headers_file).decode("ascii")
    except UnicodeError:
        raise SetupError(f"{_HEADERS}: {settings.headers_file} is no text") from None
    return [_header(line, settings.headers_file) for line in text.splitlines() if line.strip()]


def _header(line: str, path: str) -> Header:
    found = _HEADER.fullmatch(line.strip())
    if found is None:
        raise SetupError(f"{_HEADERS}: {path} must have a `name: value` on each line")
    return found[1].lower(), found[2]


def _read(variable: str, path: str) -> bytes:
    try:
        return Path(path).expanduser().read_bytes()
    except OSError as error:
        raise SetupError(f"{variable}: cannot read {path}: {error.strerror or error}") from error
