"""Files that hold secrets."""

import stat
from pathlib import Path

from common.errors import SetupError


def read_private(path: Path, variable: str) -> bytes:
    """Read a file that others must not be able to read. Its group may, as `ssl-cert` often does.

    variable: the setting that names it. Raises SetupError.
    """
    try:
        with path.open("rb") as file:
            if file_mode(path) & stat.S_IRWXO:
                raise SetupError(f"{variable}: others may use {path}; chmod o-rwx {path}")
            return file.read()
    except OSError as error:
        raise SetupError(f"{variable}: cannot read {path}: {error.strerror or error}") from error


def file_mode(path: Path) -> int:
    """The file's rights; raises OSError."""
    return stat.S_IMODE(path.stat().st_mode)
