"""Asking a server how it is, as probes do."""

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]", "": "127.0.0.1"}
"""What listens on all addresses is asked on loopback."""


def is_serving(listen: str, service: str, timeout_s: float) -> bool | None:
    """Whether the server that listens there says that it serves; None where nobody answers.

    service: full name, for whether calls would succeed; empty, for whether the process lives.
    """
    with grpc.insecure_channel(_address(listen)) as channel:
        request = health_pb2.HealthCheckRequest(service=service)
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=timeout_s)
        except grpc.RpcError:
            return None
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def _address(listen: str) -> str:
    host, colon, port = listen.rpartition(":")
    return f"{_EVERYWHERE.get(host, host)}{colon}{port}"
