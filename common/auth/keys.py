"""The keys that tokens are signed with: public ones out of a JWKS, which change, or one secret."""

import asyncio
import json
import logging
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import jwt
from cryptography.exceptions import UnsupportedAlgorithm

from common.auth.private_file import read_private
from common.background import going_on
from common.errors import SetupError, Unauthenticated
from common.metrics import Metrics

log = logging.getLogger(__name__)
_FAILURES = (OSError, HTTPException, ValueError, RecursionError)
_FETCH_TIMEOUT_S = 5.0
_LEAST_BETWEEN_S = 30.0
_MAX_JWKS_BYTES = 256 * 1024
_LEAST_SECRET_BYTES = 32
_LEAST_RSA_BITS = 2048
_ALGORITHMS = {("RSA", None): "RS256", ("EC", "P-256"): "ES256", ("OKP", "Ed25519"): "EdDSA"}
"""What a key is used for, by its kind and curve: never by what a token says."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key, and the only algorithm that it may be used with. material: as PyJWT takes it."""

    algorithm: str
    material: object


class Keys(Protocol):
    """Where the key of a token comes from."""

    generation: int
    """Grows when keys change: what was verified before may not count any more."""

    async def find(self, kid: str | None) -> Key:
        """The key of a token's header. Raises Unauthenticated."""
        ...


class Secret:
    """The one secret of HS256."""

    generation = 0

    def __init__(self, secret: bytes) -> None:
        self.secret = secret
        self._key = Key("HS256", secret)

    @classmethod
    def read(cls, path: str) -> "Secret":
        """Raises SetupError for a file that others may read, or with too short a secret."""
        secret = read_private(Path(path).expanduser(), "FACEPASS_AUTH__SECRET_FILE").strip()
        if len(secret) < _LEAST_SECRET_BYTES:
            raise SetupError(
                f"FACEPASS_AUTH__SECRET_FILE: the secret in {path} has {len(secret)} bytes; it "
                f"must have at least {_LEAST_SECRET_BYTES}: openssl rand -hex 32"
            )
        return cls(secret)

    async def find(self, kid: str | None) -> Key:
        return self._key


class KeySet:
    """A JWKS of a file or an address, looked at again and again.

    A look that fails leaves the keys as they are. Tokens of unknown keys, which anybody can write,
    cause at most one look every 30 s.
    """

    def __init__(
        self, place: str, refresh_s: float, metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """place: file, or address (`https`; `http` of this machine). clock: seconds.

        Raises SetupError for another address.
        """
        self.generation = 0
        self._place = place
        self._refresh_s = refresh_s
        self._metrics = metrics
        self._clock = clock
        self._keys: Mapping[str, Key] = {}
        self._looked_s = clock()
        self._failed = False
        self._look: asyncio.Task[None] | None = None
        _require_safe(place)

    @asynccontextmanager
    async def kept_fresh(self) -> AsyncIterator[None]:
        """Look now, and in the background while the context lasts. Raises SetupError where the
        first look fails."""
        self._keys = await asyncio.to_thread(self.read_now)
        self._looked_s = self._clock()
        self._metrics.key_fetches.labels("read").inc()
        async with going_on(self._keep_looking()):
            yield

    async def find(self, kid: str | None) -> Key:
        if kid is None:
            raise Unauthenticated("the token's header has no kid")
        if kid not in self._keys:
            await self._look_for_unknown()
        try:
            return self._keys[kid]
        except KeyError:
            raise Unauthenticated("the token's key is unknown") from None

    def read_now(self) -> Mapping[str, Key]:
        """The keys as they are there now. Raises SetupError where none can be had."""
        try:
            return _parsed(_read(self._place))
        except _FAILURES as error:
            raise SetupError(
                f"FACEPASS_AUTH__JWKS: no keys can be had from {self._place}: {error}"
            ) from error

    async def _look_for_unknown(self) -> None:
        """Look, unless that was done lately; wait for a look that is under way."""
        if self._look is None and self._clock() - self._looked_s >= _LEAST_BETWEEN_S:
            self._look = asyncio.create_task(self._look_now())
        if self._look is not None:
            await asyncio.shield(self._look)

    async def _keep_looking(self) -> None:
        while True:
            pause_s = _LEAST_BETWEEN_S if self._failed else self._refresh_s
            await asyncio.sleep(max(0.1, self._looked_s + pause_s - self._clock()))
            if self._clock() - self._looked_s >= pause_s and self._look is None:
                self._look = asyncio.create_task(self._look_now())
                await asyncio.shield(self._look)

    async def _look_now(self) -> None:
        self._looked_s = self._clock()
        try:
            keys = _parsed(await asyncio.to_thread(_read, self._place))
        except _FAILURES as error:
            self._failed = True
            self._metrics.key_fetches.labels("failed").inc()
            failed = {"action": "keys_not_read", "place": self._place, "why": str(error)}
            log.error("the keys of tokens cannot be read", extra=failed)
        else:
            self._failed = False
            self._metrics.key_fetches.labels("read").inc()
            if keys.keys() != self._keys.keys() or _differ(keys, self._keys):
                self._keys = keys
                self.generation += 1
                read = {"action": "keys_read", "place": self._place, "keys": len(keys)}
                log.info("the keys of tokens have changed", extra=read)
        finally:
            self._look = None


def _require_safe(place: str) -> None:
    address = urlsplit(place)
    local = address.hostname in ("localhost", "127.0.0.1", "::1")
    if address.scheme == "https" or "://" not in place or (address.scheme == "http" and local):
        return
    raise SetupError(f"FACEPASS_AUTH__JWKS: {place} is neither a file nor an https address")


def _read(place: str) -> bytes:
    if "://" not in place:
        return Path(place).expanduser().read_bytes()
    opener = urllib.request.build_opener(_NoRedirects())
    with opener.open(place, timeout=_FETCH_TIMEOUT_S) as answer:
        found: bytes = answer.read(_MAX_JWKS_BYTES + 1)
    if len(found) > _MAX_JWKS_BYTES:
        raise ValueError(f"more than {_MAX_JWKS_BYTES} bytes")
    return found


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Keys come from the address that was set, and from no other that it may name."""

    def redirect_request(self, *_: object) -> None:
        return None


def _parsed(document: bytes) -> Mapping[str, Key]:
    """Keys by kid. Raises ValueError where there is none of use."""
    found = json.loads(document)
    listed = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(listed, list):
        raise ValueError("it is no JWKS")
    keys = {
        each["kid"]: key
        for each in listed
        if isinstance(each, dict) and isinstance(each.get("kid"), str)
        if (key := _key(each)) is not None
    }
    if not keys:
        raise ValueError("it has no key for RS256, ES256 or EdDSA with a kid")
    return keys


def _key(told: Mapping[str, object]) -> Key | None:
    """None for a key of another use: a secret, for encryption, for another algorithm, too short."""
    curve = told.get("crv") if told.get("kty") != "RSA" else None
    algorithm = _ALGORITHMS.get((str(told.get("kty")), curve if curve is None else str(curve)))
    if algorithm is None or told.get("alg", algorithm) != algorithm:
        return None
    if told.get("use", "sig") != "sig" or "d" in told:
        return None
    try:
        material = jwt.PyJWK(dict(told), algorithm).key
    except (jwt.exceptions.PyJWTError, UnsupportedAlgorithm, ValueError, TypeError):
        return None
    if algorithm == "RS256" and material.key_size < _LEAST_RSA_BITS:
        return None
    return Key(algorithm, material)


def _differ(some: Mapping[str, Key], others: Mapping[str, Key]) -> bool:
    return any(some[kid].material != others[kid].material for kid in some)
