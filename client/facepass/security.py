"""How the client proves who it is, and makes sure who the server is."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypedDict

import grpc

from facepass.addresses import DNS

Token = str | Path | Callable[[], str]
Metadata = tuple[tuple[str, str], ...]
_LOOPBACK = ("localhost", "::1")


class Security(TypedDict, total=False):
    """Of a connection. What is not given comes from the variables in parentheses.

    token: the token, the file that has it (FACEPASS_TOKEN_FILE), which is read again when it
    changes, or what is called for it before each call, from any thread. tls: whether to encrypt; it
    is implied by the three below. ca_file: PEM file of the authorities that a server's certificate
    must be of (FACEPASS_CA_FILE); by default those that gRPC brings. client_certificate,
    client_key: PEM files, for servers that ask for one (FACEPASS_CLIENT_CERTIFICATE,
    FACEPASS_CLIENT_KEY). credentials: gRPC's own, in place of these four. plaintext_token: send the
    token also to another machine without encryption.
    """

    token: Token
    tls: bool
    ca_file: Path
    client_certificate: Path
    client_key: Path
    credentials: grpc.ChannelCredentials
    plaintext_token: bool


def channel_credentials(security: Security) -> grpc.ChannelCredentials | None:
    """Return what to connect with; None for plain text. Raises OSError for files that cannot be
    read, ValueError for a certificate without its key."""
    if "credentials" in security:
        return security["credentials"]
    ca = security.get("ca_file") or _file("FACEPASS_CA_FILE")
    certificate = security.get("client_certificate") or _file("FACEPASS_CLIENT_CERTIFICATE")
    key = security.get("client_key") or _file("FACEPASS_CLIENT_KEY")
    if (certificate is None) != (key is None):
        raise ValueError("a client certificate and its key go together")
    if not (security.get("tls", False) or ca or certificate):
        return None
    credentials: grpc.ChannelCredentials = grpc.ssl_channel_credentials(
        *(None if path is None else path.read_bytes() for path in (ca, key, certificate))
    )
    return credentials


class Bearer:
    """The token, as it is sent with each call."""

    def __init__(self, token: Token | None) -> None:
        self._token = token
        self._read: tuple[tuple[int, int], str] | None = None

    @classmethod
    def of(cls, security: Security, encrypted: bool, *addresses: str) -> "Bearer":
        """The token to send to these addresses. Raises ValueError where others could read it on the
        way."""
        token = security.get("token") or _file("FACEPASS_TOKEN_FILE")
        if token is not None and not encrypted and not security.get("plaintext_token", False):
            for address in ",".join(addresses).split(","):
                if not _is_loopback(address):
                    raise ValueError(
                        f"the token would go to {address} in plain text, for others to read: "
                        "encrypt with TLS, or say that it may"
                    )
        return cls(token)

    def metadata(self) -> Metadata:
        """Return what goes with a call. Raises OSError for a file that cannot be read."""
        token = self._current()
        return () if token is None else (("authorization", f"Bearer {token}"),)

    def _current(self) -> str | None:
        if isinstance(self._token, Path):
            return self._from_file(self._token)
        return self._token() if callable(self._token) else self._token

    def _from_file(self, path: Path) -> str:
        found = path.stat()
        stamp = (found.st_mtime_ns, found.st_ino)
        if self._read is None or self._read[0] != stamp:
            self._read = (stamp, path.read_text().strip())
        return self._read[1]


def _file(variable: str) -> Path | None:
    name = os.environ.get(variable)
    return Path(name).expanduser() if name else None


def _is_loopback(address: str) -> bool:
    if address.startswith("unix:"):
        return True
    host = address.strip().removeprefix(DNS).rpartition(":")[0].strip("[]")
    return host in _LOOPBACK or (host.startswith("127.") and host.replace(".", "").isdecimal())
