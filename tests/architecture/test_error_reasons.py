"""Every reason that a caller can see stands in the API guide, with its status code."""

import re
from collections.abc import Iterator
from pathlib import Path

from common.errors import FacePassError, PackUnavailable, SetupError
from common.rpc.status import code_of

# Said where a server starts, never to a caller.
AT_START = (PackUnavailable, SetupError)


def errors(root: type[FacePassError] = FacePassError) -> Iterator[type[FacePassError]]:
    yield root
    for each in root.__subclasses__():
        yield from errors(each)


def test_guide_tells_every_reason_and_no_other(root: Path) -> None:
    page = (root / "docs/api-guide.md").read_text()
    rows = re.findall(r"^\| `([A-Z_]+)` \| ([A-Z_]+) \|", page, flags=re.MULTILINE)
    answered = {
        (each.reason, code_of(each.__new__(each)).name)
        for each in errors()
        if not issubclass(each, AT_START) and each.__module__ == "common.errors"
    }
    assert set(rows) == answered
    assert len(rows) == len(answered)
