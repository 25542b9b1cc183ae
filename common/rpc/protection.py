"""What must be set before a server may listen where others than this machine reach it."""

import ipaddress
import logging

from common.config import AuthSettings, TlsSettings
from common.errors import SetupError

log = logging.getLogger(__name__)


def is_loopback(listen: str) -> bool:
    """Whether only this machine reaches the address."""
    if listen.startswith(("unix:", "unix-abstract:")):
        return True
    host = listen.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def require_protected(listen: str, tls: TlsSettings, auth: AuthSettings) -> None:
    """Raises SetupError where the settings contradict each other, or the address is open to others
    without encryption or without a word of who calls."""
    _require_sound(tls, auth)
    if is_loopback(listen):
        return
    if not tls.certificate and not tls.insecure:
        raise SetupError(
            f"others than this machine reach {listen}, and nothing is encrypted: set "
            "FACEPASS_TLS__CERTIFICATE and FACEPASS_TLS__KEY, or FACEPASS_TLS__INSECURE=true where "
            "something in front encrypts, or listen on 127.0.0.1"
        )
    if not auth.jwks and not auth.secret_file and not tls.client_ca and not auth.none:
        raise SetupError(
            f"others than this machine reach {listen}, and anyone may do everything: set "
            "FACEPASS_AUTH__JWKS or FACEPASS_AUTH__SECRET_FILE for tokens, or "
            "FACEPASS_TLS__CLIENT_CA for client certificates, or FACEPASS_AUTH__NONE=true where "
            "something in front decides who calls"
        )


def warn_of_openness(listen: str, tls: TlsSettings, auth: AuthSettings) -> None:
    """Log what was opened to others on purpose."""
    if is_loopback(listen):
        return
    if not tls.certificate:
        told = {"action": "plain_text", "listen": listen}
        log.warning("FACEPASS_TLS__INSECURE: nothing is encrypted", extra=told)
    if auth.none:
        told = {"action": "open_to_anyone", "listen": listen}
        log.warning("FACEPASS_AUTH__NONE: anyone may do everything", extra=told)


def described(tls: TlsSettings, auth: AuthSettings) -> str:
    """How callers come in, in a few words."""
    transport = "TLS" if tls.certificate else "plain text"
    if auth.jwks or auth.secret_file:
        return f"{transport}, tokens of {auth.issuer}"
    return f"{transport}, {'client certificates' if tls.client_ca else 'no tokens'}"


def _require_sound(tls: TlsSettings, auth: AuthSettings) -> None:
    if bool(tls.certificate) != bool(tls.key):
        raise SetupError("FACEPASS_TLS__CERTIFICATE and FACEPASS_TLS__KEY go together")
    if tls.client_ca and not tls.certificate:
        raise SetupError("FACEPASS_TLS__CLIENT_CA needs FACEPASS_TLS__CERTIFICATE")
    if auth.jwks and auth.secret_file:
        raise SetupError(
            "FACEPASS_AUTH__JWKS and FACEPASS_AUTH__SECRET_FILE exclude each other: a public key "
            "must never be taken for a secret"
        )
    if (auth.jwks or auth.secret_file) and auth.none:
        raise SetupError("FACEPASS_AUTH__NONE=true contradicts the tokens that are set")
    if (auth.jwks or auth.secret_file) and not auth.issuer:
        raise SetupError("FACEPASS_AUTH__ISSUER is not set; it is the `iss` of every token")
