"""The file that tells scripts that everything serves, and where."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.errors import SetupError


@contextmanager
def kept(told: str, ready_file: Path | None) -> Iterator[None]:
    """Have the file there, if there is to be one, for as long as the context lasts. Raises
    SetupError."""
    if ready_file is None:
        yield
        return
    temporary = ready_file.with_name(f"{ready_file.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(told + "\n")
        temporary.replace(ready_file)
    except OSError as error:
        raise SetupError(f"cannot write the ready file {ready_file}: {error}") from error
    try:
        yield
    finally:
        ready_file.unlink(missing_ok=True)
