"""Tokens: JWTs that say who calls, and what they may do with which events."""

import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from common.auth.caller import ANYONE, Caller, Scope
from common.auth.keys import Keys
from common.errors import TokenExpired, Unauthenticated

MAX_TOKEN_BYTES = 4096
_MAX_REMEMBERED = 4096
_MAX_SUBJECT = 256
_REFUSED_HEADERS = ("crit", "jku", "jwk", "x5u", "x5c", "b64", "zip", "enc")
"""What would have us fetch, trust or understand something that the token itself names."""
_REQUIRED = ["exp", "nbf", "iss", "aud", "sub"]
_EVENT = re.compile(r"[a-z0-9-]{1,63}\*?|\*")
_SCOPES = {scope.value: scope for scope in Scope}


@dataclass(frozen=True, slots=True)
class Grant:
    """A caller, and until when: seconds since 1970, None for always."""

    caller: Caller
    until_s: float | None = None


FOR_ANYONE = Grant(ANYONE)


class TokenVerifier:
    """Verifies tokens, and remembers those that were good by their hash until they expire."""

    def __init__(
        self, keys: Keys, issuer: str, audience: str, leeway_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._leeway_s = leeway_s
        self._clock = clock
        self._known: OrderedDict[bytes, Grant] = OrderedDict()
        self._generation = keys.generation

    async def verify(self, token: str) -> Grant:
        """Raises TokenExpired, or Unauthenticated for any other token that does not count."""
        if len(token) > MAX_TOKEN_BYTES:
            raise Unauthenticated(f"the token has {len(token)} bytes")
        digest = hashlib.sha256(token.encode()).digest()
        if self._generation != self._keys.generation:
            self._known.clear()
            self._generation = self._keys.generation
        grant = self._known.get(digest)
        if grant is None:
            grant = await self._verify(token)
            self._known[digest] = grant
            if len(self._known) > _MAX_REMEMBERED:
                self._known.popitem(last=False)
        if self.has_expired(grant):
            self._known.pop(digest, None)
            raise TokenExpired("the token has expired")
        return grant

    def has_expired(self, grant: Grant) -> bool:
        """Whether the grant is over by now."""
        return grant.until_s is not None and self._clock() >= grant.until_s

    async def _verify(self, token: str) -> Grant:
        key = await self._keys.find(_kid(token))
        try:
            claims = jwt.decode(
                token,
                key.material,  # type: ignore[arg-type]
                algorithms=[key.algorithm],
                audience=self._audience,
                issuer=self._issuer,
                leeway=self._leeway_s,
                options={"require": _REQUIRED},
            )
        except jwt.ExpiredSignatureError:
            raise TokenExpired("the token has expired") from None
        except jwt.PyJWTError as error:
            raise Unauthenticated(str(error)) from None
        return Grant(_caller(claims), float(claims["exp"]) + self._leeway_s)


def _kid(token: str) -> str | None:
    """The key's id in a token's header. Raises Unauthenticated for headers that are not to be."""
    try:
        header = jwt.get_unverified_header(token)
    except jwt.PyJWTError as error:
        raise Unauthenticated(str(error)) from None
    refused = [name for name in _REFUSED_HEADERS if name in header]
    if refused:
        raise Unauthenticated(f"the token's header has {refused[0]}")
    kid = header.get("kid")
    if kid is not None and not isinstance(kid, str):
        raise Unauthenticated("the token's kid is no text")
    return kid


def _caller(claims: Mapping[str, Any]) -> Caller:
    """Raises Unauthenticated for claims that are not of the kind that they must be."""
    subject, scope, events = claims["sub"], claims.get("scope", ""), claims.get("events", [])
    if not isinstance(subject, str) or not 0 < len(subject) <= _MAX_SUBJECT:
        raise Unauthenticated(f"sub must be 1 to {_MAX_SUBJECT} characters")
    if not subject.isprintable():
        raise Unauthenticated("sub must be printable")
    if not isinstance(scope, str):
        raise Unauthenticated("scope must be a text of words")
    if not isinstance(events, list) or not all(map(names_events, events)):
        raise Unauthenticated("events must be a list of ids of events, or beginnings with a *")
    # Scopes of other services may be there too.
    scopes = frozenset(_SCOPES[word] for word in scope.split() if word in _SCOPES)
    return Caller(subject, scopes, tuple(events))


def names_events(pattern: object) -> bool:
    """Whether it is an id of an event, or the beginning of ids that ends in `*`."""
    return isinstance(pattern, str) and _EVENT.fullmatch(pattern) is not None
