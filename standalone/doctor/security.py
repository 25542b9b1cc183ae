"""The doctor's look at encryption and tokens."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from common.auth.keys import KeySet, Secret
from common.auth.private_file import file_mode
from common.config import AuthSettings, TlsSettings
from common.errors import SetupError
from common.metrics import Metrics
from common.rpc.protection import is_loopback, require_protected
from common.rpc.tls import Identity
from standalone.doctor.finding import Finding, fail, ok, warn

_DAY_S = 86_400
_SOON_DAYS = 14


def check_security(
    listens: Sequence[str], tls: TlsSettings, auth: AuthSettings, now_s: float | None = None
) -> Iterator[Finding]:
    """Whether callers come in as they should. listens: the servers' addresses."""
    for listen in listens:
        try:
            require_protected(listen, tls, auth)
        except SetupError as error:
            yield fail("security", error.message, "docs/security.md says more")
            return
    beyond = any(not is_loopback(listen) for listen in listens)
    yield from _tls(tls, beyond, time.time() if now_s is None else now_s)
    yield from _tokens(tls, auth, beyond)


def _tls(tls: TlsSettings, beyond: bool, now_s: float) -> Iterator[Finding]:
    if not tls.certificate:
        if beyond:
            yield warn("tls", "plain text", "right only where something in front encrypts")
        else:
            yield ok("tls", "plain text, which only this machine reaches")
        return
    try:
        identity = Identity.read(tls)
    except SetupError as error:
        yield fail("tls", error.message, "until then the servers do not start")
        return
    days = (identity.expires_s - now_s) / _DAY_S
    text = f"certificate {identity.serial:x}, good for {days:.0f} more days"
    if days <= 0:
        yield fail("tls", "the certificate has expired", "put a new one in its place")
    elif days < _SOON_DAYS:
        yield warn("tls", text, "put a new one in its place; no restart is needed")
    else:
        yield ok("tls", text)
    if file_mode(Path(tls.key).expanduser()) & 0o020:
        yield warn("tls", f"a group may write to {tls.key}", f"chmod g-w {tls.key}")


def _tokens(tls: TlsSettings, auth: AuthSettings, beyond: bool) -> Iterator[Finding]:
    try:
        if auth.jwks:
            keys = KeySet(auth.jwks, auth.refresh_s, Metrics()).read_now()
            yield ok("tokens", f"of {auth.issuer}, keys: {len(keys)}")
            yield from _writable(auth.jwks)
        elif auth.secret_file:
            Secret.read(auth.secret_file)
            yield ok("tokens", f"of {auth.issuer}, by a secret")
        elif tls.client_ca:
            yield ok("tokens", "none; client certificates say who calls, and may do everything")
        elif beyond:
            yield warn("tokens", "none: anyone may do everything", "docs/security.md says more")
        else:
            yield ok("tokens", "none; anyone on this machine may do everything")
    except SetupError as error:
        yield fail("tokens", error.message, "until then the servers do not start")


def _writable(place: str) -> Iterator[Finding]:
    path = Path(place).expanduser()
    if "://" not in place and file_mode(path) & 0o022:
        yield warn("tokens", f"others may write to {path}", f"chmod go-w {path}")
