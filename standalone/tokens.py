"""The command `facepass-server token`: tokens for development, and keys to sign them with."""

import argparse
import json
import re
import sys
import time
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.utils import base64url_encode

from common.auth.caller import Scope
from common.auth.keys import Secret
from common.auth.private_file import read_private
from common.auth.tokens import names_events
from common.config import AuthSettings, CommonSettings
from common.errors import SetupError
from standalone.config import read_settings
from standalone.data_dir import write_private

HELP = """\
Mint a token for development and tests, and print it. FACEPASS_AUTH__ISSUER and
FACEPASS_AUTH__AUDIENCE are its issuer and audience; the secret of FACEPASS_AUTH__SECRET_FILE signs
it, or the key of --key.

  facepass-server token --new-key keys      make keys/key.pem, and keys/jwks.json for the servers
  facepass-server token --key keys/key.pem --subject backend --scope index,search --event 'fair-*'

In production, tokens come from an identity provider: docs/security.md."""
_KEY_FILE, _JWKS_FILE = "key.pem", "jwks.json"
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LONGEST_S = 90 * 86_400


def add_options(parser: argparse.ArgumentParser) -> None:
    """Make `parser` that of the command."""
    parser.add_argument("--new-key", type=Path, metavar="FOLDER", help="make a key pair there")
    parser.add_argument("--key", type=Path, metavar="FILE", help="private key to sign with")
    parser.add_argument("--subject", default="developer", help="who calls (default: %(default)s)")
    parser.add_argument(
        "--scope",
        type=_scopes,
        default=[],
        metavar="SCOPE,...",
        help=f"what the token may do, of {', '.join(scope.value for scope in Scope)}",
    )
    parser.add_argument(
        "--event",
        type=_events,
        action="append",
        default=[],
        metavar="EVENT",
        help="id of an event, or the beginning of ids and a *; several times for several",
    )
    parser.add_argument(
        "--for",
        dest="lifetime_s",
        type=_seconds,
        default=3600,
        metavar="TIME",
        help="how long it counts: 30s, 15m, 1h (the default), 7d",
    )
    parser.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    if options.new_key is not None:
        _make_key(options.new_key)
        return 0
    settings = read_settings(CommonSettings).auth
    if not settings.issuer:
        raise SetupError("FACEPASS_AUTH__ISSUER is not set; it is the `iss` of the token")
    now = int(time.time())
    claims = {
        "iss": settings.issuer,
        "aud": settings.audience,
        "sub": options.subject,
        "iat": now,
        "nbf": now,
        "exp": now + options.lifetime_s,
        "scope": " ".join(options.scope),
        "events": options.event,
    }
    print(_signed(claims, options.key, settings))
    return 0


def _signed(claims: Mapping[str, Any], key_file: Path | None, settings: AuthSettings) -> str:
    """Raises SetupError without a key."""
    if key_file is not None:
        private = _read_key(key_file)
        headers = {"kid": _public(private)["kid"]}
        return jwt.encode(dict(claims), private, "EdDSA", headers=headers)
    if settings.secret_file:
        return jwt.encode(dict(claims), Secret.read(settings.secret_file).secret, "HS256")
    raise SetupError("there is nothing to sign with: --key FILE, or FACEPASS_AUTH__SECRET_FILE")


def _make_key(folder: Path) -> None:
    key_file, jwks_file = folder / _KEY_FILE, folder / _JWKS_FILE
    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in (key_file, jwks_file):
            if path.exists():
                raise SetupError(f"{path} is there already; choose another folder")
        write_private(key_file, pem.decode())
        write_private(jwks_file, json.dumps({"keys": [_public(private)]}, indent=2) + "\n")
    except OSError as error:
        raise SetupError(f"cannot write to {folder}: {error.strerror or error}") from error
    print(f"{key_file} signs tokens: keep it to yourself.", file=sys.stderr)
    print(f"{jwks_file} is for the servers: FACEPASS_AUTH__JWKS={jwks_file}", file=sys.stderr)


def _read_key(path: Path) -> Ed25519PrivateKey:
    try:
        key = serialization.load_pem_private_key(read_private(path, "--key"), None)
    except (ValueError, TypeError) as error:
        raise SetupError(f"--key: {path} is no private key: {error}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise SetupError(f"--key: {path} is no Ed25519 key; make one with --new-key")
    return key


def _public(private: Ed25519PrivateKey) -> dict[str, str]:
    """The public key as a JWK; its id is its thumbprint (RFC 7638)."""
    x = private.public_key().public_bytes_raw()
    told = {"crv": "Ed25519", "kty": "OKP", "x": base64url_encode(x).decode()}
    digest = sha256(json.dumps(told, separators=(",", ":"), sort_keys=True).encode()).digest()
    kid = base64url_encode(digest).decode()
    return {**told, "kid": kid, "use": "sig", "alg": "EdDSA"}


def _scopes(text: str) -> list[str]:
    known = {scope.value for scope in Scope}
    words = re.split(r"[,\s]+", text.strip())
    for word in words:
        if word not in known:
            raise argparse.ArgumentTypeError(f"{word!r} is none of {', '.join(sorted(known))}")
    return words


def _events(text: str) -> str:
    if not names_events(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no id of an event, and no beginning of one")
    return text


def _seconds(text: str) -> int:
    found = re.fullmatch(r"([1-9][0-9]{0,6})([smhd])", text)
    seconds = int(found[1]) * _SECONDS[found[2]] if found else 0
    if not 0 < seconds <= _LONGEST_S:
        raise argparse.ArgumentTypeError(f"{text!r} is no time such as 30s, 15m, 1h or 7d")
    return seconds
