"""Who makes a call, and whether they may."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeAlias, TypeVar

from google.protobuf.message import Message

from common.auth.caller import ANYONE, Caller, caller
from common.auth.keys import KeySet, Secret
from common.auth.tokens import FOR_ANYONE, Grant, TokenVerifier
from common.config import AuthSettings, TlsSettings
from common.errors import TokenExpired, Unauthenticated
from common.metrics import Metrics
from common.rpc.rules import FORBIDDEN, RULES, Rule

_KEY, _BEARER = "authorization", "bearer "
_HEALTH, _REFLECTION = "/grpc.health.", "/grpc.reflection."
_SUBJECT = ("x509_common_name", "x509_subject")
M = TypeVar("M", bound=Message)
Metadata: TypeAlias = Any
Shown: TypeAlias = Mapping[str, Any]
"""What a connection's handshake showed of the caller, as gRPC tells it."""


class Access:
    """Tells who makes a call: by token, else by client certificate, else anyone."""

    def __init__(
        self, verifier: TokenVerifier | None, *, by_certificate: bool, public: tuple[str, ...]
    ) -> None:
        """public: beginnings of the names of calls that need no token."""
        self._verifier = verifier
        self._by_certificate = by_certificate
        self._public = public

    async def grant(self, metadata: Metadata, shown: Callable[[], Shown]) -> Grant:
        """Who calls, and for how long. Raises Unauthenticated."""
        if self._verifier is not None:
            return await self._verifier.verify(_token(metadata))
        if self._by_certificate:
            return Grant(Caller(_certified(shown()), ANYONE.scopes, ANYONE.events))
        return FOR_ANYONE

    async def check_token(self, method: str, metadata: Metadata) -> None:
        """For calls that need no scope. Raises Unauthenticated where a token is needed."""
        if self._verifier is not None and not method.startswith(self._public):
            await self._verifier.verify(_token(metadata))

    @contextmanager
    def entered(self, method: str, grant: Grant) -> Iterator["Entry"]:
        """Serve a call as the caller's for as long as the context lasts. Raises ScopeMissing."""
        rule = RULES.get(method, FORBIDDEN)
        rule.check_scope(grant.caller)
        token = caller.set(grant.caller)
        try:
            yield Entry(rule, grant, self._verifier)
        finally:
            caller.reset(token)


class Entry:
    """One call, made by somebody who may make such calls."""

    def __init__(self, rule: Rule, grant: Grant, verifier: TokenVerifier | None) -> None:
        self._rule = rule
        self._grant = grant
        self._verifier = verifier
        self._cut = False

    def check(self, request: Message) -> None:
        """Raises PermissionDenied where the request is of an event that is none of the caller's."""
        self._rule.check_request(self._grant.caller, request)

    async def until_expired(self, requests: AsyncIterator[M]) -> AsyncIterator[M]:
        """A stream's requests; it ends before the first that begins something new once the token
        has expired, so that what has come is still served."""
        async for request in requests:
            begins = self._rule.begins and request.HasField(self._rule.begins)
            if begins and self._verifier and self._verifier.has_expired(self._grant):
                self._cut = True
                return
            yield request

    def check_cut(self) -> None:
        """Raises TokenExpired where the stream ended for that."""
        if self._cut:
            raise TokenExpired("the token expired while its stream was served")


@asynccontextmanager
async def access_of(
    auth: AuthSettings, tls: TlsSettings, metrics: Metrics
) -> AsyncIterator[Access]:
    """Access by what is set, with keys that are kept fresh. Raises SetupError."""
    public = ((_HEALTH,) if auth.public_health else ()) + (
        (_REFLECTION,) if auth.public_reflection else ()
    )
    by_certificate = bool(tls.client_ca)
    if auth.jwks:
        keys = KeySet(auth.jwks, auth.refresh_s, metrics)
        async with keys.kept_fresh():
            verifier = TokenVerifier(keys, auth.issuer, auth.audience, auth.leeway_s)
            yield Access(verifier, by_certificate=by_certificate, public=public)
    elif auth.secret_file:
        secret = Secret.read(auth.secret_file)
        verifier = TokenVerifier(secret, auth.issuer, auth.audience, auth.leeway_s)
        yield Access(verifier, by_certificate=by_certificate, public=public)
    else:
        yield Access(None, by_certificate=by_certificate, public=public)


def _token(metadata: Any) -> str:
    """Raises Unauthenticated where there is not exactly one."""
    found = [value for key, value in metadata or () if key == _KEY]
    if len(found) != 1 or not isinstance(found[0], str):
        raise Unauthenticated(f"{len(found)} tokens came with the call")
    if found[0][: len(_BEARER)].lower() != _BEARER:
        raise Unauthenticated("the metadata authorization does not begin with Bearer")
    return str(found[0][len(_BEARER) :])


def _certified(shown: Shown) -> str:
    """The subject of the caller's certificate. Raises Unauthenticated."""
    for key in _SUBJECT:
        for value in shown.get(key, ()):
            if value:
                return str(value.decode(errors="replace"))
    raise Unauthenticated("the client's certificate has no subject")
