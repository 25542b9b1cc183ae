"""One Postgres data folder and its postmaster, of which there are never two."""

import os
import re
import secrets
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

from common.errors import SetupError
from standalone.binaries import POSTGRES_MAJOR, Binaries
from standalone.data_dir import DataDir, write_private
from standalone.tuning import memory_bytes, settings, settings_file

SUPERUSER = "postgres"
_START_TIMEOUT_S = 300
_STOP_TIMEOUT_S = 60
_ORPHANS_TIMEOUT_S = 15.0
_LOOK_S = 0.1
_STATUS_LINE = 7
_TELLING = ["name", "cwd", "status"]
_GOES_ON_ELSEWHERE = "redirecting log output"
_BESIDE_THE_POINT = re.compile(f"{_GOES_ON_ELSEWHERE}|Future log output|skipping missing")


class Cluster:
    """A data folder that this process holds the lock of."""

    def __init__(
        self, data: DataDir, binaries: Binaries, more: Mapping[str, str] | None = None
    ) -> None:
        """more: settings of Postgres beside ours."""
        self._data = data
        self._binaries = binaries
        self._folder = data.cluster
        self._more = more or {}

    def create_if_absent(self, superuser_password: str) -> None:
        """Make the data folder; it counts once it has its name, so a killed attempt is redone."""
        for left in self._data.root.glob("postgres.new-*"):
            shutil.rmtree(left, ignore_errors=True)
        if self._folder.exists():
            self._require_ours()
            return
        # A new name each time: a killed standalone's initdb may still be at work under the last.
        unfinished = self._data.root / f"postgres.new-{secrets.token_hex(4)}"
        self._data.user.make_private_folder(unfinished)
        password_file = self._data.sockets / "initdb-password"
        write_private(password_file, superuser_password + "\n", self._data.user)
        try:
            self._run("initdb", [f"--pgdata={unfinished}", f"--pwfile={password_file}", *_INITDB])
        finally:
            password_file.unlink()
        unfinished.rename(self._folder)

    def _require_ours(self) -> None:
        try:
            found = (self._folder / "PG_VERSION").read_text().strip()
            owner = self._folder.stat().st_uid
        except OSError as error:
            raise SetupError(f"{self._folder} is no Postgres data folder: {error}") from error
        if owner != self._data.user.uid:
            raise SetupError(
                f"{self._folder} belongs to user id {owner}, but Postgres would run as "
                f"{self._data.user.name!r}; start facepass-server as the user that made it, "
                "or choose another --data-dir"
            )
        if found != str(POSTGRES_MAJOR):
            raise SetupError(
                f"{self._folder} was written by Postgres {found}, and this facepass-server brings "
                f"Postgres {POSTGRES_MAJOR}; start it with the release that wrote it and move the "
                "data with pg_dump, or choose another --data-dir"
            )

    def start(self) -> None:
        """Start the postmaster with our settings and return when it takes connections.

        One that a killed standalone left behind is stopped first. Raises SetupError with the end
        of Postgres' log.
        """
        self._stop_left_behind()
        values = settings(self._data.sockets, self._data.logs, memory_bytes())
        text = settings_file({**values, **self._more}, self._data.overrides)
        write_private(self._folder / "postgresql.conf", text, self._data.user)
        log = self._data.logs / "start.log"
        log.unlink(missing_ok=True)
        try:
            self._control("start", f"--log={log}", f"--timeout={_START_TIMEOUT_S}")
        except SetupError as error:
            said = _said_last(self._data.logs)
            raise SetupError(f"{error.message} Postgres said: {said}") from error

    def recover(self) -> None:
        """Start the postmaster and return once it has followed the log as far as it was told to,
        however long that takes. Raises SetupError as `start`."""
        self.start()
        while not self._recovered:
            if not self.running:
                raise SetupError(f"Postgres cannot recover; it said: {_said_last(self._data.logs)}")
            time.sleep(_LOOK_S)

    @property
    def _recovered(self) -> bool:
        """The last line of the postmaster's file says what it has come to."""
        try:
            lines = (self._folder / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) > _STATUS_LINE and lines[_STATUS_LINE].strip() == "ready"

    @property
    def running(self) -> bool:
        """Whether the postmaster lives."""
        pid = _first_number(self._folder / "postmaster.pid")
        try:
            # Another process may have a dead postmaster's number by now.
            process = psutil.Process(pid) if pid is not None else None
            return process is not None and self._is_ours(process.as_dict(_TELLING))
        except psutil.NoSuchProcess:
            return False

    def stop(self) -> None:
        """Stop the postmaster, if it runs, ending its sessions; at once where that takes long.

        Raises SetupError where even that does not end it.
        """
        try:
            if self._processes():
                self._control("stop", "--mode=fast", f"--timeout={_STOP_TIMEOUT_S}")
        except SetupError:
            # It may have ended by itself meanwhile, or children of a killed one are left.
            if self.running:
                self._control("stop", "--mode=immediate", f"--timeout={_STOP_TIMEOUT_S}")

    def set_superuser_password(self, password: str) -> None:
        """Set it without knowing the old one, while the postmaster is stopped."""
        self._require_ours()
        self._stop_left_behind()
        arguments = ["--single", "-D", str(self._folder), "postgres"]
        self._run("postgres", arguments, stdin=f"ALTER ROLE {SUPERUSER} PASSWORD '{password}'\n")

    def _stop_left_behind(self) -> None:
        if self._processes():
            self.stop()
            self._await_no_processes()
        self._remove_misleading_pid_files()

    def _await_no_processes(self) -> None:
        """A killed postmaster's children end by themselves, but not at once."""
        deadline = time.monotonic() + _ORPHANS_TIMEOUT_S
        while left := self._processes():
            if time.monotonic() > deadline:
                pids = " ".join(str(process.pid) for process in left)
                raise SetupError(
                    f"Postgres processes of {self._folder} are left from earlier and do not end; "
                    f"end them with: kill {pids}"
                )
            time.sleep(0.05)

    def _remove_misleading_pid_files(self) -> None:
        """Remove a dead postmaster's files whose number some process has all the same.

        Another process may have got the number since, or the dead one was never waited for, as in
        a container whose first process does not do that. Postgres takes either for a postmaster at
        work; other stale files it handles itself. Safe, since no process uses the folder.
        """
        socket_lock = self._data.sockets / ".s.PGSQL.5432.lock"
        for path in (self._folder / "postmaster.pid", socket_lock):
            pid = _first_number(path)
            if pid is not None and psutil.pid_exists(pid):
                path.unlink()

    def _processes(self) -> list[psutil.Process]:
        """Every Postgres process of this data folder: it is their working folder."""
        return [each for each in psutil.process_iter(_TELLING) if self._is_ours(each.info)]

    def _is_ours(self, process: dict[str, object]) -> bool:
        here = process["cwd"] == os.path.realpath(self._folder)
        return here and process["name"] == "postgres" and process["status"] != psutil.STATUS_ZOMBIE

    def _control(self, action: str, *options: str) -> None:
        self._run("pg_ctl", [action, f"--pgdata={self._folder}", "--wait", *options])

    def _run(self, program: str, arguments: list[str], stdin: str | None = None) -> None:
        command = [self._binaries.program(program), *arguments]
        result = self._data.user.run(command, cwd=self._data.logs, stdin=stdin)
        if result.returncode != 0:
            said = " ".join((result.stderr or result.stdout).split())
            raise SetupError(f"{program} failed: {said[-1000:]}")


_INITDB = (
    f"--username={SUPERUSER}",
    "--auth-local=scram-sha-256",
    "--auth-host=scram-sha-256",
    "--data-checksums",
    "--encoding=UTF8",
    # Sorts by code point as C does, and is the same in every build, unlike the system's locales.
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--no-instructions",
)


def _first_number(path: Path) -> int | None:
    """The process id on the first line of one of Postgres' files, if it is there."""
    try:
        return int(path.read_text().partition("\n")[0])
    except (FileNotFoundError, ValueError):
        return None


def _said_last(logs: Path) -> str:
    """What Postgres said in its last attempt to start: at first into start.log, then elsewhere."""
    said = (logs / "start.log").read_text(errors="replace") if (logs / "start.log").exists() else ""
    if _GOES_ON_ELSEWHERE in said:
        newest = max(logs.glob("postgres-*.log"), key=lambda path: path.stat().st_mtime)
        said += newest.read_text(errors="replace").rpartition("starting PostgreSQL")[2]
    lines = [line for line in said.splitlines() if not _BESIDE_THE_POINT.search(line)]
    return " ".join(re.sub(r"^.*?\[\d+\] ", "", line) for line in lines[-8:]) or "nothing"
