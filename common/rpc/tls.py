"""The server's certificate, its key and its clients' authorities: out of files that may change."""

import logging
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from common.auth.private_file import read_private
from common.config import TlsSettings
from common.errors import SetupError
from common.metrics import Metrics

log = logging.getLogger(__name__)
_Stamp = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Identity:
    """What a server shows of itself and asks of its clients, as PEM."""

    certificate: bytes
    key: bytes
    client_ca: bytes | None
    expires_s: float
    """When the certificate expires, in seconds since 1970."""
    serial: int

    @classmethod
    def read(cls, settings: TlsSettings) -> "Identity":
        """Raises SetupError for files that cannot be read, do not belong together, or let others
        read the key."""
        certificate = _read(settings.certificate, "FACEPASS_TLS__CERTIFICATE")
        key = read_private(Path(settings.key).expanduser(), "FACEPASS_TLS__KEY")
        ca = _read(settings.client_ca, "FACEPASS_TLS__CLIENT_CA") if settings.client_ca else None
        try:
            own = x509.load_pem_x509_certificates(certificate)[0]
            private = load_pem_private_key(key, None)
            if ca is not None:
                x509.load_pem_x509_certificates(ca)
        except (ValueError, TypeError, IndexError) as error:
            raise SetupError(
                f"FACEPASS_TLS__*: a file is no PEM that can be used: {error}"
            ) from None
        if own.public_key() != private.public_key():
            raise SetupError(
                f"FACEPASS_TLS__KEY: {settings.key} is not the key of {settings.certificate}"
            )
        expires_s = own.not_valid_after_utc.timestamp()
        return cls(certificate, key, ca, expires_s, own.serial_number)


class Certificates:
    """The last good identity; looks at the files at each new connection and each look at the
    metrics."""

    def __init__(self, settings: TlsSettings, metrics: Metrics) -> None:
        """Raises SetupError where there is no good identity to begin with."""
        self._settings = settings
        self._metrics = metrics
        self._lock = threading.Lock()
        self._stamp = self._now()
        self._identity = Identity.read(settings)
        metrics.certificate_expiry.set_function(lambda: self.current().expires_s)

    def current(self) -> Identity:
        """The identity by the files as they are now, or as they were when they were good."""
        with self._lock:
            stamp = self._now()
            # Files that were bad are looked at again once they change, not at each connection.
            if stamp != self._stamp:
                self._stamp = stamp
                self._read_again()
            return self._identity

    def credentials(self) -> grpc.ServerCredentials:
        """Credentials of a server, which ask here at each new connection."""
        shown = self.current()

        def changed() -> grpc.ServerCertificateConfiguration | None:
            nonlocal shown
            found = self.current()
            if found is shown:
                return None
            shown = found
            return _configuration(found)

        credentials: grpc.ServerCredentials = grpc.dynamic_ssl_server_credentials(
            _configuration(shown),
            changed,  # type: ignore[arg-type]  # None, for no change, is documented
            require_client_authentication=shown.client_ca is not None,
        )
        return credentials

    def _read_again(self) -> None:
        try:
            self._identity = Identity.read(self._settings)
        except SetupError as error:
            self._metrics.certificate_failures.inc()
            told = {"action": "certificate_kept", "why": error.message}
            log.error("changed certificate files cannot be used; the last ones stay", extra=told)
        else:
            told = {"action": "certificate_read", "serial": f"{self._identity.serial:x}"}
            log.info("certificate files have changed", extra=told)

    def _now(self) -> _Stamp:
        return tuple(_stamps(self._settings))


def _configuration(identity: Identity) -> grpc.ServerCertificateConfiguration:
    pair = (identity.key, identity.certificate)
    found: grpc.ServerCertificateConfiguration = grpc.ssl_server_certificate_configuration(
        [pair], root_certificates=identity.client_ca
    )
    return found


def _stamps(settings: TlsSettings) -> Iterable[tuple[int, int, int]]:
    """What changes whenever a file does."""
    for path in filter(None, (settings.certificate, settings.key, settings.client_ca)):
        try:
            found = Path(path).expanduser().stat()
            yield found.st_mtime_ns, found.st_size, found.st_ino
        except OSError:
            yield 0, 0, 0


def _read(path: str, variable: str) -> bytes:
    try:
        return Path(path).expanduser().read_bytes()
    except OSError as error:
        raise SetupError(f"{variable}: cannot read {path}: {error.strerror or error}") from error
