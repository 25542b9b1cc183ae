"""How the client connects: addresses, balancing, keepalive, message sizes, retries."""

import json
import os

import grpc

from facepass.addresses import are_several, each, target
from facepass.version import __version__

DEFAULT_INDEXER = "localhost:50051"
DEFAULT_SEARCHER = "localhost:50052"
INDEXER, SEARCHER = "facepass.v1.Indexer", "facepass.v1.Searcher"
EVENT_KEY = "x-facepass-event"
"""Metadata of a search: its event, for a proxy that sends those of one event to one server."""

_MIB = 1024 * 1024
_IDEMPOTENT = {
    "facepass.v1.Events": ("CreateEvent", "GetEvent", "ListEvents"),
    INDEXER: (
        "IndexPhoto",
        "GetPhoto",
        "ListPhotos",
        "OptimizeEvent",
        "GetErasure",
        "ListErasures",
    ),
    "google.longrunning.Operations": ("GetOperation", "WaitOperation"),
    SEARCHER: ("Search", "CompareFaces", "EvaluateSelfie"),
}
"""Calls that gRPC itself may repeat. CreateEvent is one of them because the client always sends a
request id, IndexPhoto because a repeat is answered DUPLICATE, OptimizeEvent because it answers with
what is under way; a deletion is not: its repeat would be answered NOT_FOUND."""


def indexer_address(given: str | None = None) -> str:
    """Return the indexing server: as given, else FACEPASS_INDEXER_ADDRESS, else the default."""
    return given or os.environ.get("FACEPASS_INDEXER_ADDRESS") or DEFAULT_INDEXER


def searcher_address(given: str | None = None) -> str:
    """Return the query server: as given, else FACEPASS_SEARCHER_ADDRESS, else the default."""
    return given or os.environ.get("FACEPASS_SEARCHER_ADDRESS") or DEFAULT_SEARCHER


def open_channel(
    address: str, service: str, credentials: grpc.ChannelCredentials | None = None
) -> grpc.aio.Channel:
    """Open a channel to one server or several; it connects with the first call. Needs a running
    event loop.

    service: full name of what is to be called there. Raises ValueError for a list with a name that
    stands for nothing.
    """
    several = are_several(address)
    options = [
        # A dead peer is noticed within 50 s, also behind a firewall that forgets quiet connections.
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        # The server judges what is too large; answers are bounded by its page size.
        ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", 64 * _MIB),
        ("grpc.service_config", json.dumps(service_config(service if several else None))),
        # A call is only repeated while its request is still held; selfies and photos are large.
        ("grpc.per_rpc_retry_buffer_size", 40 * _MIB),
        # A server that was started anew is found soon; calls have pauses of their own.
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 2_000),
        ("grpc.primary_user_agent", f"facepass-python/{__version__}"),
    ]
    if several:
        # One name for all: what is asked for, and what every server's certificate is to be for.
        options.append(("grpc.default_authority", each(address)[0]))
    if credentials is None:
        return grpc.aio.insecure_channel(target(address), options)
    return grpc.aio.secure_channel(target(address), credentials, options)


def service_config(balanced: str | None = None) -> dict[str, object]:
    """Return the gRPC service config: on idempotent calls, UNAVAILABLE is tried again, and so is
    RESOURCE_EXHAUSTED, after the time that the server asks for.

    balanced: the service whose calls go to several servers in turn, to those of them that say that
    they serve it.
    """
    names = [
        {"service": service, "method": method}
        for service, methods in _IDEMPOTENT.items()
        for method in methods
    ]
    policy = {
        "maxAttempts": 5,
        "initialBackoff": "0.1s",
        "maxBackoff": "2s",
        "backoffMultiplier": 3,
        "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED"],
    }
    config: dict[str, object] = {"methodConfig": [{"name": names, "retryPolicy": policy}]}
    if balanced is not None:
        config["loadBalancingConfig"] = [{"round_robin": {}}]
        config["healthCheckConfig"] = {"serviceName": balanced}
    return config
