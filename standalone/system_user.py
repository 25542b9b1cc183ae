"""The operating system's user that Postgres runs as.

Postgres refuses to run as root. Started by root, it runs as the system user `facepass`; otherwise
as whoever started it.
"""

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

from common.errors import SetupError

SYSTEM_USER = "facepass"
_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "TZDIR")


@dataclass(frozen=True, slots=True)
class PostgresUser:
    """Whom Postgres' programs run as, and whom its files belong to."""

    name: str
    uid: int
    gid: int
    switches: bool
    """True where this process is another user and must switch (it is root)."""

    @classmethod
    def for_this_process(cls) -> Self:
        """The user to take: ours, or as root the system user, created where absent.

        Raises SetupError where the system user can be neither found nor created.
        """
        uid = os.geteuid()
        if uid != 0:
            return cls(name=_name_of(uid), uid=uid, gid=os.getegid(), switches=False)
        entry = _find(SYSTEM_USER) or _create(SYSTEM_USER)
        return cls(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid, switches=True)

    def run(
        self,
        arguments: list[str],
        *,
        cwd: Path = Path("/"),
        stdin: str | None = None,
        environment: dict[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program as this user, away from our terminal's signals, and wait for its end.

        `environment` is added to a bare one: what our own environment says to Postgres' clients
        (PGHOST, PGDATA, ...) must not reach it. Raises SetupError where the program cannot be
        started at all.
        """
        inherited = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        try:
            return subprocess.run(
                arguments,
                cwd=cwd,
                input=stdin if stdin is not None else "",
                env={**inherited, "LC_ALL": "C", **(environment or {})},
                user=self.uid if self.switches else None,
                group=self.gid if self.switches else None,
                extra_groups=[] if self.switches else None,
                umask=0o077,
                start_new_session=True,
                capture_output=True,
                text=True,
                check=False,
            )
        except OSError as error:
            raise SetupError(f"cannot run {arguments[0]} as user {self.name!r}: {error}") from error

    def may(self, test: str, path: Path) -> bool:
        """Whether this user passes a shell test (`-x`, `-r`, ...) of a path."""
        return self.run(["/bin/sh", "-c", f'test {test} "$1"', "sh", str(path)]).returncode == 0

    def own(self, path: Path | IO[str]) -> None:
        """Make a file or folder of ours belong to this user."""
        if self.switches:
            os.chown(path if isinstance(path, Path) else path.fileno(), self.uid, self.gid)

    def make_private_folder(self, path: Path) -> None:
        """Make or take a folder that this user alone may enter.

        Raises SetupError where it exists and is somebody else's: what lies in it could then be
        swapped by them.
        """
        try:
            path.mkdir(mode=0o700)
            self.own(path)
        except FileExistsError:
            found = path.lstat()
            if not path.is_dir() or path.is_symlink() or found.st_uid != self.uid:
                raise SetupError(
                    f"{path} must be a folder of user {self.name!r} but belongs to "
                    f"{_name_of(found.st_uid)!r}; run facepass-server as the user that made it, "
                    "or choose another --data-dir"
                ) from None
        path.chmod(0o700)


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _find(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _create(name: str) -> pwd.struct_passwd:
    advice = (
        f"Postgres cannot run as root. Create a system user named {name!r}, or run facepass-server "
        "as an ordinary user, or set FACEPASS_DATABASE__DSN to a Postgres of your own"
    )
    useradd = shutil.which("useradd", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if useradd is None:
        raise SetupError(f"{advice} (useradd is not installed).")
    command = [
        useradd,
        "--system",
        "--user-group",
        "--no-create-home",
        "--home-dir",
        "/nonexistent",
    ]
    command += ["--shell", "/usr/sbin/nologin", name]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    entry = _find(name)
    if entry is None:
        raise SetupError(f"{advice} (useradd said: {result.stderr.strip()}).")
    return entry
