"""Opaque page tokens: where a page ended, bound to the request that it belongs to."""

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence

from common.errors import InvalidArgument

Cursor = Sequence[int | float | str]


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


def decode_token(token: str, owner: str, *kinds: type) -> tuple[int | float | str, ...] | None:
    """Read a token back; None for an empty one.

    kinds: the type of each part of the cursor. Raises InvalidArgument for a token that is damaged
    or of another request.
    """
    if not token:
        return None
    try:
        parts = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (binascii.Error, UnicodeError, ValueError):
        parts = None
    if not isinstance(parts, list) or len(parts) != len(kinds) + 1:
        raise InvalidArgument("page_token", "is not a token that this server made")
    if parts[0] != owner:
        raise InvalidArgument("page_token", "belongs to another request")
    if any(type(part) is not kind for part, kind in zip(parts[1:], kinds, strict=True)):
        raise InvalidArgument("page_token", "is not a token that this server made")
    return tuple(parts[1:])
