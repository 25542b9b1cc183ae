"""The standalone's folder: what lies where, whose it is, and that one standalone uses it."""

import fcntl
import hashlib
import json
import os
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from common.errors import SetupError
from common.templates.keys import new_key
from standalone.system_user import PostgresUser

LOCK_FILE = "standalone.lock"
PASSWORDS_FILE = "passwords.json"
TEMPLATE_KEYS_FILE = "template_keys"
# sockaddr_un holds 104 bytes on macOS and 108 on Linux, with the closing zero.
MAX_SOCKET_PATH = 100


def default_data_dir() -> Path:
    """`/var/lib/facepass` as root, else `facepass` in the XDG data folder."""
    if os.geteuid() == 0:
        return Path("/var/lib/facepass")
    base = os.environ.get("XDG_DATA_HOME", "")
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".local/share") / "facepass"


@dataclass(frozen=True, slots=True)
class DataDir:
    """The folders and files of one standalone."""

    root: Path
    user: PostgresUser

    @classmethod
    def at(cls, root: Path) -> Self:
        """Name the folders below `root`; touches nothing."""
        return cls(root.expanduser().absolute(), PostgresUser.for_this_process())

    @property
    def cluster(self) -> Path:
        """Postgres' own data folder."""
        return self.root / "postgres"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def overrides(self) -> Path:
        """Postgres settings of the operator's own, read after ours."""
        return self.root / "postgres.conf"

    @property
    def series(self) -> Path:
        """Which backups those of this folder are."""
        return self.root / "backups.json"

    @property
    def unfinished(self) -> Path:
        """There while a restore has not come to its end."""
        return self.root / "restore-unfinished"

    @property
    def sockets(self) -> Path:
        """The folder of the Unix socket; elsewhere where this folder's path is too long for one."""
        inside = self.root / "run"
        if _socket_fits(inside):
            return inside
        name = "facepass-" + hashlib.sha256(os.fsencode(self.root)).hexdigest()[:12]
        bases = [os.environ.get("XDG_RUNTIME_DIR", ""), tempfile.gettempdir(), "/tmp"]
        candidates = (
            [Path("/run")] if self.user.switches else [Path(base) for base in bases if base]
        )
        return next(
            base / name for base in candidates if base.is_dir() and _socket_fits(base / name)
        )

    def take(self) -> "DataDirLock":
        """Take the folder for this process, made where absent, with folders private to their users.

        It stays taken until released or until the process ends, however it ends. Raises SetupError
        where the folder is in use (saying by whom), holds other things, is somebody else's, or
        cannot be reached by Postgres' user.
        """
        self.require_usable()
        with ExitStack() as stack:
            try:
                self._make_root()
                lock = DataDirLock(self.root / LOCK_FILE)
                stack.callback(lock.release)
                for folder in (self.logs, self.sockets):
                    self.user.make_private_folder(folder)
            except OSError as error:
                raise SetupError(f"cannot use the data folder {self.root}: {error}") from error
            stack.pop_all()
        return lock

    def require_usable(self) -> None:
        """Look whether the folder, or the one it would be made in, can be used; changes nothing.

        Raises SetupError saying what to do.
        """
        try:
            self._require_open_to_user(*self.root.parents)
            existing = next(each for each in (self.root, *self.root.parents) if each.exists())
            if not os.access(existing, os.R_OK | os.W_OK | os.X_OK):
                raise SetupError(
                    f"user {self.user.name!r} may not write to {existing}; run facepass-server as "
                    "its owner, or choose another --data-dir"
                )
            if self.root.exists() and not self._is_ours():
                raise SetupError(
                    f"{self.root} is not empty and holds no FacePass data; choose an empty or new "
                    "folder with --data-dir"
                )
        except OSError as error:
            raise SetupError(f"cannot use the data folder {self.root}: {error}") from error

    def _make_root(self) -> None:
        self.root.mkdir(parents=True, mode=0o755, exist_ok=True)
        if self.root.stat().st_uid == os.geteuid():
            # Postgres' user passes through to its own folders but sees nothing beside them.
            self.root.chmod(0o711 if self.user.switches else 0o700)
        self._require_open_to_user(self.root, *self.root.parents)

    @property
    def in_use(self) -> bool:
        """Whether a process holds the folder now."""
        path = self.root / LOCK_FILE
        try:
            if path.exists():
                DataDirLock(path).release()
        except SetupError:
            return True
        return False

    def _is_ours(self) -> bool:
        names = {entry.name for entry in self.root.iterdir()} - {"lost+found"}
        return not names or LOCK_FILE in names

    def _require_open_to_user(self, *folders: Path) -> None:
        """Ask of folders that are there; only root, who runs Postgres as another, has to."""
        for folder in sorted(folders) if self.user.switches else ():
            if folder.exists() and not self.user.may("-x", folder):
                raise SetupError(
                    f"Postgres runs as user {self.user.name!r}, which may not pass through "
                    f"{folder} to reach {self.root}; choose a folder outside it with --data-dir "
                    f"(the default is /var/lib/facepass), or allow it with: chmod o+x {folder}"
                )

    def passwords(self) -> dict[str, str] | None:
        """The roles' passwords; None where there is no file of them. Raises SetupError."""
        path = self.root / PASSWORDS_FILE
        try:
            return {str(role): str(word) for role, word in json.loads(path.read_text()).items()}
        except FileNotFoundError:
            return None
        except (OSError, ValueError, AttributeError) as error:
            raise SetupError(
                f"{path} cannot be read ({error}); where it is damaged, remove it, and the next "
                "start makes new passwords"
            ) from error

    def keep_passwords(self, passwords: dict[str, str]) -> None:
        """Write the roles' passwords, for us alone to read."""
        write_private(self.root / PASSWORDS_FILE, json.dumps(passwords))

    @property
    def template_keys(self) -> Path:
        """The file of the templates' keys, for us alone to read."""
        return self.root / TEMPLATE_KEYS_FILE

    def make_template_key(self) -> None:
        """Write a new key where there is no file of them. Raises SetupError."""
        try:
            if not self.template_keys.exists():
                write_private(self.template_keys, f"{new_key()}\n")
        except OSError as error:
            raise SetupError(f"cannot write {self.template_keys}: {error.strerror}") from error


class DataDirLock:
    """Holds a data folder for this process."""

    def __init__(self, path: Path) -> None:
        """Take the lock. Raises SetupError saying who has it."""
        self._file = path.open("a+")
        os.fchmod(self._file.fileno(), 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.seek(0)
            holder = self._file.read().strip() or "another process"
            self._file.close()
            raise SetupError(
                f"{path.parent} is in use by {holder}; stop that one first, or choose another "
                "--data-dir"
            ) from None
        self._file.truncate(0)
        self._file.write(
            f"facepass-server, process {os.getpid()}, since {datetime.now(UTC):%FT%TZ}\n"
        )
        self._file.flush()

    def release(self) -> None:
        self._file.close()


def write_private(path: Path, text: str, user: PostgresUser | None = None) -> None:
    """Write a file of mode 0600 in one step, as `user`'s where one is given."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.unlink(missing_ok=True)
    with temporary.open("x") as file:
        os.fchmod(file.fileno(), 0o600)
        if user is not None:
            user.own(file)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)


def _socket_fits(folder: Path) -> bool:
    return len(os.fsencode(folder / ".s.PGSQL.5432")) < MAX_SOCKET_PATH
