"""The keys of events' template spaces, which no database has."""

import hashlib
import re
import secrets
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Self
from uuid import UUID

from common.config import TemplateSettings
from common.errors import SetupError
from common.templates.space import LockedSpace, PlainSpace, RotatedSpace, TemplateSpace

VARIABLE = "FACEPASS_TEMPLATES__KEY_FILE"
_KEY_BYTES = 32
_LINE = re.compile(rf"[0-9a-fA-F]{{{2 * _KEY_BYTES}}}")
_DOMAIN = b"facepass template key\0"
_MOST_SPACES = 1024
"""Of which something is remembered: about 12 KiB each at 512 dimensions."""
_PLAIN = PlainSpace()


class TemplateKeys:
    """Keys by their ids. The first is for new events, the others keep older ones readable."""

    def __init__(self, keys: Sequence[bytes] = ()) -> None:
        self._keys = {key_id(key): key for key in keys}
        self._rotated = lru_cache(_MOST_SPACES)(RotatedSpace)

    @classmethod
    def of(cls, settings: TemplateSettings) -> Self:
        """Those of the file that is named, none where none is. Raises SetupError."""
        if not settings.key_file:
            return cls()
        path = Path(settings.key_file).expanduser()
        try:
            # As connection strings are: what Docker mounts as a secret, everybody in the container
            # may read.
            lines = path.read_text("ascii").split()
        except (OSError, UnicodeError) as error:
            why = getattr(error, "strerror", None) or "is no text"
            raise SetupError(f"{VARIABLE}: cannot read {path}: {why}") from error
        if not lines or not all(map(_LINE.fullmatch, lines)):
            raise SetupError(
                f"{VARIABLE}: {path} must have a key on each line, {2 * _KEY_BYTES} hexadecimal "
                f"digits: openssl rand -hex {_KEY_BYTES}"
            )
        return cls([bytes.fromhex(line) for line in lines])

    @property
    def first(self) -> str | None:
        """Id of the key for new events; None where their templates stay as engines make them."""
        return next(iter(self._keys), None)

    @property
    def ids(self) -> frozenset[str]:
        return frozenset(self._keys)

    def space(self, key: str | None, event: UUID) -> TemplateSpace:
        """That of an event. key: the id that its row has."""
        if key is None:
            return _PLAIN
        if key not in self._keys:
            return LockedSpace(key)
        return self._rotated(self._keys[key], event)


NO_KEYS = TemplateKeys()


def key_id(key: bytes) -> str:
    """What an event's row says of its key: enough to tell keys apart, too little to find one."""
    return hashlib.sha256(_DOMAIN + key).hexdigest()[:8]


def new_key() -> str:
    """A line for a file of keys."""
    return secrets.token_hex(_KEY_BYTES)
