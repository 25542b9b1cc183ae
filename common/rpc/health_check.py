"""Asking a server how it is, as probes do."""

import grpc
from cryptography import x509
from grpc_health.v1 import health_pb2, health_pb2_grpc

from common.config import TlsSettings
from common.rpc.tls import Identity

_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]", "": "127.0.0.1"}
"""What listens on all addresses is asked on loopback."""


def is_serving(listen: str, service: str, tls: TlsSettings, timeout_s: float) -> bool | None:
    """Whether the server that listens there says that it serves; None where nobody answers.

    service: full name, for whether calls would succeed; empty, for whether the process lives.
    tls: the server's own. Raises SetupError for files that cannot be used.
    """
    with _channel(_address(listen), tls) as channel:
        request = health_pb2.HealthCheckRequest(service=service)
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=timeout_s)
        except grpc.RpcError:
            return None
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def _channel(address: str, tls: TlsSettings) -> grpc.Channel:
    """A channel that trusts the server's own certificate, whatever name it is for, and shows it
    where the server asks for one."""
    if not tls.certificate:
        return grpc.insecure_channel(address)
    own = Identity.read(tls)
    shown = (own.key, own.certificate) if own.client_ca is not None else (None, None)
    credentials = grpc.ssl_channel_credentials(own.certificate, *shown)
    options = [("grpc.ssl_target_name_override", _name(own.certificate))]
    return grpc.secure_channel(address, credentials, options)


def _name(certificate: bytes) -> str:
    """A name that the certificate is for."""
    own = x509.load_pem_x509_certificates(certificate)[0]
    names = own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    hosts = names.get_values_for_type(x509.DNSName)
    addresses = names.get_values_for_type(x509.IPAddress)
    return [*hosts, *map(str, addresses)][0]


def _address(listen: str) -> str:
    host, colon, port = listen.rpartition(":")
    return f"{_EVERYWHERE.get(host, host)}{colon}{port}"
