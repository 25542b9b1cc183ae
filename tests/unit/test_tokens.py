"""Which tokens count: the whole matrix, and that nothing else does."""

import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from authority import AUDIENCE, ISSUER, KeyServer, Signer, good_claims, jwks, part
from cryptography.hazmat.primitives import serialization

from common.auth.caller import Scope
from common.auth.keys import KeySet, Secret
from common.auth.tokens import TokenVerifier
from common.errors import SetupError, TokenExpired, Unauthenticated
from common.metrics import Metrics

SIGNERS = {name: Signer.new(name, name) for name in ("RS256", "ES256", "EdDSA")}
EDDSA = SIGNERS["EdDSA"]
SECRET = Signer("shared", "HS256", b"0123456789abcdef0123456789abcdef")
NOW = int(time.time())


@pytest.fixture
async def verifier(tmp_path: Any) -> Any:
    path = tmp_path / "jwks.json"
    path.write_bytes(jwks(*SIGNERS.values()))
    keys = KeySet(str(path), 300, Metrics())
    async with keys.kept_fresh():
        yield TokenVerifier(keys, ISSUER, AUDIENCE, leeway_s=10)


def by_public_key(kid: str) -> str:
    """An HS256 token that takes the issuer's public key for a secret (CVE-2022-29217)."""
    signer = SIGNERS[kid]
    assert not isinstance(signer.key, bytes)
    public = signer.key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    head, body = part({"alg": "HS256", "kid": kid, "typ": "JWT"}), part(good_claims())
    return ".".join((head, body, part(_hs256(f"{head}.{body}".encode(), public))))


def _hs256(message: bytes, secret: bytes) -> bytes:
    import hashlib
    import hmac

    return hmac.new(secret, message, hashlib.sha256).digest()


def unsigned(alg: str) -> str:
    return f"{part({'alg': alg, 'kid': 'EdDSA'})}.{part(good_claims())}."


BAD: dict[str, Callable[[], str]] = {
    "empty": lambda: "",
    "no token at all": lambda: "secret",
    "two parts": lambda: EDDSA.token().rpartition(".")[0],
    "truncated": lambda: EDDSA.token()[:-10],
    "another signature": lambda: EDDSA.token()[:-20] + EDDSA.token(sub="else")[-20:],
    "of another key with that kid": lambda: Signer.new("EdDSA").token(),
    "of an unknown key": lambda: Signer.new("unknown").token(),
    "without kid": lambda: jwt.encode(good_claims(), EDDSA.key, "EdDSA"),
    "kid is a number": lambda: f"{part({'alg': 'EdDSA', 'kid': 7})}.{part(good_claims())}.AA",
    "alg none": lambda: unsigned("none"),
    "alg None": lambda: unsigned("None"),
    "alg empty": lambda: unsigned(""),
    "HS256 by the RSA public key": lambda: by_public_key("RS256"),
    "HS256 by the Ed25519 public key": lambda: by_public_key("EdDSA"),
    "HS256 by a secret": lambda: Signer("EdDSA", "HS256", SECRET.key).token(),
    "key of another algorithm": lambda: Signer("RS256", "EdDSA", EDDSA.key).token(),
    "RS512 by the right key": lambda: Signer("RS256", "RS512", SIGNERS["RS256"].key).token(),
    "crit": lambda: EDDSA.token(headers={"crit": ["exp"]}),
    "crit of ours": lambda: EDDSA.token(headers={"crit": ["x"], "x": 1}),
    "jku": lambda: EDDSA.token(headers={"jku": "https://evil.test/jwks"}),
    "x5u": lambda: EDDSA.token(headers={"x5u": "https://evil.test/cert"}),
    "jwk": lambda: EDDSA.token(headers={"jwk": Signer.new("EdDSA").jwk()}),
    "not yet valid": lambda: EDDSA.token(nbf=NOW + 3600),
    "another audience": lambda: EDDSA.token(aud="else"),
    "no audience of ours": lambda: EDDSA.token(aud=["else", "more"]),
    "another issuer": lambda: EDDSA.token(iss="https://evil.test"),
    **{
        f"without {claim}": lambda claim=claim: EDDSA.token(without=claim)  # type: ignore[misc]
        for claim in ("exp", "nbf", "iss", "aud", "sub")
    },
    "exp is a text": lambda: EDDSA.token(exp="tomorrow"),
    "exp is endless": lambda: f"{part({'alg': 'EdDSA', 'kid': 'EdDSA'})}.{part(b'{}')}.AA",
    "sub is empty": lambda: EDDSA.token(sub=""),
    "sub breaks the log": lambda: EDDSA.token(sub="a\nb"),
    "sub is long": lambda: EDDSA.token(sub="a" * 257),
    "scope is a list": lambda: EDDSA.token(scope=["index"]),
    "events is a text": lambda: EDDSA.token(events="*"),
    "events has a full name": lambda: EDDSA.token(events=["events/gala"]),
    "events has a pattern": lambda: EDDSA.token(events=["g*a"]),
    "events has a per cent": lambda: EDDSA.token(events=["%"]),
    "events has a number": lambda: EDDSA.token(events=[1]),
    "9 KB": lambda: EDDSA.token(padding="x" * 6700),
    "17 KB": lambda: EDDSA.token(padding="x" * 12_700),
    "not ASCII": lambda: EDDSA.token() + "é",
}


@pytest.mark.parametrize("kind", BAD)
async def test_bad_tokens_do_not_count(verifier: TokenVerifier, kind: str) -> None:
    for _ in range(2):
        with pytest.raises(Unauthenticated) as refused:
            await verifier.verify(BAD[kind]())
        assert not isinstance(refused.value, TokenExpired)
        assert refused.value.message == "the call needs a valid token"


@pytest.mark.parametrize("algorithm", SIGNERS)
async def test_good_tokens_say_who_calls(verifier: TokenVerifier, algorithm: str) -> None:
    token = SIGNERS[algorithm].token(
        aud=["else", AUDIENCE], scope="search openid index", events=["gala", "a-*"]
    )
    for _ in range(2):
        caller = (await verifier.verify(token)).caller
        assert caller.subject == "backend"
        assert caller.scopes == {Scope.SEARCH, Scope.INDEX}
        assert caller.may_see("gala") and caller.may_see("a-1")
        assert not caller.may_see("gala-2") and not caller.may_see("a")


async def test_without_claims_nothing_is_allowed(verifier: TokenVerifier) -> None:
    token = EDDSA.token(without="scope")
    assert (await verifier.verify(token)).caller.scopes == set()
    token = EDDSA.token(without="events")
    assert not (await verifier.verify(token)).caller.may_see("gala")


async def test_an_expired_token_is_told_to_be_one(verifier: TokenVerifier) -> None:
    with pytest.raises(TokenExpired):
        await verifier.verify(EDDSA.token(exp=NOW - 3600))
    # Only of a token that was good: others learn nothing.
    with pytest.raises(Unauthenticated) as refused:
        await verifier.verify(Signer.new("EdDSA").token(exp=NOW - 3600))
    assert not isinstance(refused.value, TokenExpired)


async def test_a_remembered_token_expires_too(tmp_path: Any) -> None:
    path = tmp_path / "jwks.json"
    path.write_bytes(jwks(EDDSA))
    now = int(time.time())
    now_s = float(now)
    keys = KeySet(str(path), 300, Metrics())
    async with keys.kept_fresh():
        verifier = TokenVerifier(keys, ISSUER, AUDIENCE, 10, clock=lambda: now_s)
        token = EDDSA.token(exp=now + 60)
        grant = await verifier.verify(token)
        now_s = now + 69
        assert await verifier.verify(token) is grant
        now_s = now + 71
        with pytest.raises(TokenExpired):
            await verifier.verify(token)


async def test_a_secret_takes_its_own_tokens_only(tmp_path: Any) -> None:
    path = tmp_path / "secret"
    assert isinstance(SECRET.key, bytes)
    path.write_bytes(SECRET.key + b"\n")
    path.chmod(0o600)
    verifier = TokenVerifier(Secret.read(str(path)), ISSUER, AUDIENCE, 10)
    assert (await verifier.verify(SECRET.token())).caller.subject == "backend"
    for token in (
        EDDSA.token(),
        Signer("a", "HS512", SECRET.key * 2).token(),
        Signer("a", "HS256", b"f" * 32).token(),
        unsigned("none"),
    ):
        with pytest.raises(Unauthenticated):
            await verifier.verify(token)


def test_a_secret_is_long_and_private(tmp_path: Any) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"too short")
    path.chmod(0o600)
    with pytest.raises(SetupError, match="at least 32"):
        Secret.read(str(path))
    path.write_bytes(b"x" * 40)
    path.chmod(0o604)
    with pytest.raises(SetupError, match="chmod"):
        Secret.read(str(path))


async def test_keys_are_rotated(tmp_path: Any) -> None:
    old, new = Signer.new("old"), Signer.new("new")
    now_s = 1000.0
    with KeyServer(jwks(old)).running() as server:
        keys = KeySet(server.address, 300, Metrics(), clock=lambda: now_s)
        async with keys.kept_fresh():
            verifier = TokenVerifier(keys, ISSUER, AUDIENCE, 10)
            await verifier.verify(old.token())
            server.document = jwks(old, new)
            now_s += 31
            for signer in (old, new):  # both count while both are there
                await verifier.verify(signer.token())
            remembered = old.token()
            await verifier.verify(remembered)
            server.document = jwks(new)
            now_s += 31
            with pytest.raises(Unauthenticated):
                await verifier.verify(Signer.new("third").token())  # has the keys looked at
            await verifier.verify(new.token())
            with pytest.raises(Unauthenticated):
                await verifier.verify(remembered)


@pytest.mark.parametrize("broken", ["gone", "503", "no JSON", "nested", "no keys", "a secret"])
async def test_the_last_good_keys_stay(broken: str) -> None:
    signer = Signer.new("one")
    now_s = 1000.0
    with KeyServer(jwks(signer)).running() as server:
        keys = KeySet(server.address, 300, Metrics(), clock=lambda: now_s)
        async with keys.kept_fresh():
            verifier = TokenVerifier(keys, ISSUER, AUDIENCE, 10)
            match broken:
                case "503":
                    server.status = 503
                case "gone":
                    server.status = 404
                case "no JSON":
                    server.document = b"<html>"
                case "nested":
                    server.document = b"[" * 200_000
                case "no keys":
                    server.document = b'{"keys": []}'
                case "a secret":
                    server.document = b'{"keys": [{"kty": "oct", "k": "AAAA", "kid": "one"}]}'
            for _ in range(3):
                now_s += 31
                with pytest.raises(Unauthenticated):
                    await verifier.verify(Signer.new("two").token())
                await verifier.verify(signer.token())
            assert server.asked == 4


async def test_unknown_keys_cause_one_look_in_30_s() -> None:
    signer, stranger = Signer.new("one"), Signer.new("x")
    body = stranger.token().partition(".")[2]
    now_s = 1000.0
    with KeyServer(jwks(signer)).running() as server:
        keys = KeySet(server.address, 300, Metrics(), clock=lambda: now_s)
        async with keys.kept_fresh():
            verifier = TokenVerifier(keys, ISSUER, AUDIENCE, 10)
            for second in range(90):
                now_s = 1000.0 + second
                for number in range(112):
                    head = part({"alg": "EdDSA", "kid": f"{second}-{number}"})
                    with pytest.raises(Unauthenticated):
                        await verifier.verify(f"{head}.{body}")
            assert server.asked == 3  # at 0, 30 and 60 s, for 10,080 tokens
            await verifier.verify(signer.token())


async def test_keys_of_another_use_are_left_out(tmp_path: Any) -> None:
    import json

    from cryptography.hazmat.primitives.asymmetric import rsa

    short = Signer("short", "RS256", rsa.generate_private_key(65537, 1024))
    encrypting = {**Signer.new("encrypting").jwk(), "use": "enc"}
    other = {**Signer.new("other", "RS256").jwk(), "alg": "RS512"}
    good = Signer.new("good")
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [short.jwk(), encrypting, other, 7, good.jwk()]}))
    keys = KeySet(str(path), 300, Metrics())
    async with keys.kept_fresh():
        assert (await keys.find("good")).algorithm == "EdDSA"
        for kid in ("short", "encrypting", "other"):
            with pytest.raises(Unauthenticated):
                await keys.find(kid)


@pytest.mark.parametrize(
    "place", ["http://keys.example/jwks", "ftp://localhost/jwks", "file:///etc/passwd"]
)
def test_keys_come_by_a_safe_way(place: str) -> None:
    with pytest.raises(SetupError, match="neither a file nor an https address"):
        KeySet(place, 300, Metrics())


async def test_no_keys_no_start(tmp_path: Any) -> None:
    with pytest.raises(SetupError, match="no keys can be had"):
        async with KeySet(str(tmp_path / "absent"), 300, Metrics()).kept_fresh():
            pytest.fail("it started without keys")
