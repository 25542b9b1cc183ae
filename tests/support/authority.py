"""Issuers of tokens and of certificates, made for a test."""

import base64
import datetime
import ipaddress
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

ISSUER, AUDIENCE = "https://issuer.test", "facepass"
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True)
class Signer:
    """Signs tokens with one key."""

    kid: str
    algorithm: str
    key: PrivateKey | bytes

    @classmethod
    def new(cls, kid: str, algorithm: str = "EdDSA") -> "Signer":
        match algorithm:
            case "RS256":
                return cls(kid, algorithm, rsa.generate_private_key(65537, 2048))
            case "ES256":
                return cls(kid, algorithm, ec.generate_private_key(ec.SECP256R1()))
        return cls(kid, algorithm, ed25519.Ed25519PrivateKey.generate())

    def jwk(self) -> dict[str, Any]:
        """The public key."""
        assert not isinstance(self.key, bytes)
        implementation = jwt.get_algorithm_by_name(self.algorithm)
        told = json.loads(implementation.to_jwk(self.key.public_key()))
        return {**told, "kid": self.kid, "use": "sig", "alg": self.algorithm}

    def token(
        self, *, headers: dict[str, Any] | None = None, without: str = "", **claims: Any
    ) -> str:
        """A token that is good for an hour unless `claims` say otherwise."""
        all_claims = {**good_claims(), **claims}
        all_claims.pop(without, None)
        key: Any = self.key
        return jwt.encode(
            all_claims, key, self.algorithm, headers={"kid": self.kid, **(headers or {})}
        )


def good_claims() -> dict[str, Any]:
    now = int(time.time())
    return {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "backend",
        "nbf": now - 1,
        "exp": now + 3600,
        "scope": "index search admin erase embeddings",
        "events": ["*"],
    }


def jwks(*signers: Signer) -> bytes:
    return json.dumps({"keys": [signer.jwk() for signer in signers]}).encode()


def part(told: object) -> str:
    """A part of a token, as it is written."""
    data = told if isinstance(told, bytes) else json.dumps(told).encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class KeyServer:
    """Serves a JWKS over HTTP on this machine, and counts who asks."""

    def __init__(self, document: bytes) -> None:
        self.document, self.status, self.asked = document, 200, 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked += 1
                self.send_response(outer.status)
                self.end_headers()
                self.wfile.write(outer.document)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}/jwks.json"

    @contextmanager
    def running(self) -> Iterator["KeyServer"]:
        thread = Thread(target=self._server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()


class CertificateAuthority:
    """Issues certificates for 127.0.0.1."""

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._certificate = _build(self._name, self._name, self._key, self._key, authority=True)
        self.pem = self._certificate.public_bytes(serialization.Encoding.PEM)

    def issue(self, name: str, days: float = 1) -> "Issued":
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = _build(subject, self._name, key, self._key, authority=False, days=days)
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return Issued(made.public_bytes(serialization.Encoding.PEM), pem, made.serial_number)


@dataclass(frozen=True)
class Issued:
    """A certificate and its key, as PEM."""

    certificate: bytes
    key: bytes
    serial: int

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        """Write both, each in one step; returns where they are."""
        certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
        for path, data in ((certificate, self.certificate), (key, self.key)):
            new = path.with_suffix(".new")
            new.write_bytes(data)
            new.chmod(0o600)
            new.rename(path)
        return certificate, key


def _build(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey, *, authority: bool, days: float = 1,
) -> x509.Certificate:  # fmt: skip
    now = datetime.datetime.now(datetime.UTC)
    names: Sequence[x509.GeneralName] = [
        x509.DNSName("localhost"),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    ]
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(signer, hashes.SHA256())
    )
