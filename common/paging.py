"""Opaque page tokens: where a page ended, bound to the request that it belongs to."""

import base64
import binascii
import hashlib
import json
import math
from collections.abc import Sequence

from common.errors import InvalidArgument

Part = int | float | str
Cursor = Sequence[Part]
_MAX_TOKEN = 1024
_MAX_NUMBER = 2**31 - 1
"""Of a photo, a face."""


def page_size(requested: int, *, default: int, most: int) -> int:
    """0 means `default`, above `most` counts as `most`. Raises InvalidArgument below 0."""
    if requested < 0:
        raise InvalidArgument("page_size", "must not be negative")
    return min(requested or default, most)


def fingerprint(*parts: object) -> str:
    """Digest of what a page token belongs to; another request's token is refused by it."""
    digest = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else repr(part).encode()
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()[:16]


def encode_token(owner: str, cursor: Cursor) -> str:
    """Make the token of the page after `cursor`."""
    data = json.dumps([owner, *cursor], separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def decode_token(token: str, owner: str, *kinds: type[Part]) -> tuple[Part, ...] | None:
    """Read a token back; None for an empty one.

    kinds: the type of each part of the cursor. Raises InvalidArgument for a token that is damaged
    or of another request.
    """
    if not token:
        return None
    parts = _read(token)
    if not isinstance(parts, list) or len(parts) != len(kinds) + 1:
        raise not_ours()
    if parts[0] != owner:
        raise InvalidArgument("page_token", "belongs to another request")
    cursor = tuple(parts[1:])
    if not all(map(_is_sound, cursor, kinds)):
        raise not_ours()
    return cursor


def not_ours() -> InvalidArgument:
    """The error of a token that was made, or changed, elsewhere."""
    return InvalidArgument("page_token", "is not a token that this server made")


def _read(token: str) -> object:
    # A longer one may be nested deeper than the parser can follow.
    if len(token) > _MAX_TOKEN:
        return None
    try:
        return json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (binascii.Error, UnicodeError, ValueError):
        return None


def _is_sound(part: object, kind: type[Part]) -> bool:
    """Whether a part of a cursor can be one: anybody can write a token."""
    if type(part) is not kind:
        return False
    match part:
        case int():
            return 0 <= part <= _MAX_NUMBER
        case float():
            return math.isfinite(part)
        case str():
            return part.isascii() and part.isprintable()
    raise AssertionError(part)
