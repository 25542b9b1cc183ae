"""Looks for what must never be written down: vectors, images, tokens, names of files."""

import math
import re
from collections import Counter

_KINDS = {
    "name of a file": re.compile(r"\w\.(jpe?g|png|webp|heic|tiff?)\b", re.IGNORECASE),
    "token": re.compile(r"eyJ[\w-]{8,}\.[\w-]{8,}\.|\bBearer\s+\S|\bBasic\s+\S", re.IGNORECASE),
    "vector": re.compile(r"(-?\d+(\.\d+(e[+-]?\d+)?|e-\d+)[\s,;]+){6}", re.IGNORECASE),
    "image": re.compile(r"/9j/|iVBORw0KGgo|UklGR|\xff\xd8\xff|\x89PNG|JFIF"),
    "bytes": re.compile(r"(\\+x[0-9a-f]{2}|\\+u00[0-9a-f]{2}|\\+[0-7]{3}){6}", re.IGNORECASE),
}
_BLOB = re.compile(r"[A-Za-z0-9+/=_-]{48,}")
_RANDOM_BITS = 4.2
"""Bits a character of base64 that is no text; hexadecimal digits have 4, words and paths less."""


def found_in(text: str) -> list[str]:
    """What there is of it, by kind."""
    kinds = [kind for kind, pattern in _KINDS.items() if pattern.search(text)]
    if any(_bits(blob) > _RANDOM_BITS for blob in _BLOB.findall(text)):
        kinds.append("blob")
    return kinds


def _bits(text: str) -> float:
    shares = [times / len(text) for times in Counter(text).values()]
    return -sum(share * math.log2(share) for share in shares)
