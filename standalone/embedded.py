"""Postgres with pgvector on this machine, without anybody installing one."""

import re
import secrets
import threading
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Protocol, Self
from urllib.parse import quote

from common.errors import SetupError
from standalone.binaries import Binaries
from standalone.cluster import SUPERUSER, Cluster
from standalone.data_dir import DataDir, DataDirLock
from standalone.tuning import DURABLE

DATABASE = "facepass"


class Role(Enum):
    """Who connects."""

    SUPERUSER = SUPERUSER
    """Bootstraps, makes and drops databases."""
    OWNER = "facepass_owner"
    """Owns the database and the schema; runs migrations."""
    SERVER = "facepass_server"
    """The servers': reads and writes the owner's tables, owns nothing."""


class Archive(Protocol):
    """What takes all changes of a Postgres as they come."""

    def begin(self, data: DataDir) -> Mapping[str, str]:
        """Postgres' settings for it, where the data folder is about to be started."""


class EmbeddedPostgres:
    """A Postgres of our own in `data_dir`, reached through a private Unix socket with passwords.

    As root, Postgres runs as the system user `facepass`, so every folder above `data_dir` must be
    open to it (a folder of `tempfile.mkdtemp()` in /tmp is, pytest's `tmp_path` is not).
    """

    def __init__(
        self, data_dir: Path, archive: Archive | None = None, *, restoring: bool = False
    ) -> None:
        """archive: takes all changes as they come. restoring: start what a restore has not
        finished."""
        self._data = DataDir.at(data_dir)
        self._archive = archive
        self._restoring = restoring
        self._lock: DataDirLock | None = None
        self._cluster: Cluster | None = None
        self._psql = ""
        self._passwords: dict[str, str] = {}
        self._changing = threading.Lock()

    @property
    def data_dir(self) -> Path:
        return self._data.root

    @property
    def superuser_dsn(self) -> str:
        return self.dsn(Role.SUPERUSER)

    @property
    def owner_dsn(self) -> str:
        return self.dsn(Role.OWNER)

    @property
    def server_dsn(self) -> str:
        return self.dsn(Role.SERVER)

    def dsn(self, role: Role, database: str = DATABASE) -> str:
        """`postgresql://role:password@/database?host=socket folder`, known once started."""
        password = quote(self._passwords[role.value], safe="")
        sockets = quote(str(self._data.sockets))
        return f"postgresql://{role.value}:{password}@/{database}?host={sockets}"

    def attach(self) -> None:
        """Learn the passwords of one that another process runs. Raises SetupError."""
        known = self._data.passwords()
        if known is None:
            raise SetupError(f"{self.data_dir} has no passwords; start the standalone again")
        self._passwords = known

    def start(self) -> None:
        """Start Postgres and make whatever is missing: data folder, roles, database. Blocks.

        Raises SetupError, with nothing left running, where the folder is unusable or in use, or
        written by another major version, or where Postgres does not start or could lose data.
        """
        self._lock = self._data.take()
        try:
            if self._data.unfinished.exists() and not self._restoring:
                raise SetupError(
                    f"{self.data_dir} was not restored to the end, and may hold faces that were "
                    "erased; remove it and run `facepass-server restore` again"
                )
            binaries = Binaries.for_data_dir(self._data)
            self._psql = binaries.program("psql")
            self._cluster = Cluster(self._data, binaries, self._archiving())
            self._start(self._cluster)
        except BaseException:
            self.stop()
            raise

    def _archiving(self) -> Mapping[str, str]:
        if self._archive is not None:
            return self._archive.begin(self._data)
        # What is written now is archived nowhere: what was archived ends before it.
        self._data.series.unlink(missing_ok=True)
        return {}

    def _start(self, cluster: Cluster) -> None:
        known = self._data.passwords()
        self._passwords = known or {role.value: secrets.token_urlsafe(24) for role in Role}
        if known is None:
            # Kept only once they hold: killed in between, the next start begins here again.
            if self._data.cluster.exists():
                cluster.set_superuser_password(self._passwords[SUPERUSER])
            self._data.keep_passwords(self._passwords)
        cluster.create_if_absent(self._passwords[SUPERUSER])
        cluster.start()
        self._require_durable()
        self._run_script("bootstrap_roles.sql", SUPERUSER)
        self.create_database(DATABASE)

    @property
    def running(self) -> bool:
        """Whether Postgres runs now. It may have been killed."""
        cluster = self._cluster
        return cluster is not None and cluster.running

    def restart(self) -> None:
        """Start Postgres again after it ended unasked; nothing where it was stopped. Blocks.

        Connection strings stay as they are. Raises SetupError.
        """
        with self._changing:
            if self._cluster is not None:
                self._cluster.start()

    def stop(self) -> None:
        """Stop Postgres, if started, ending its sessions, and give the folder free."""
        with self._changing:
            try:
                if self._cluster is not None:
                    self._cluster.stop()
            finally:
                self._cluster = None
                if self._lock is not None:
                    self._lock.release()
                self._lock = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def create_database(self, name: str, template: str | None = None) -> None:
        """Make a database of the owner's, unless it exists, with pgvector and the server's rights.

        template: a database to copy, which nobody may be connected to meanwhile.
        """
        exists = f"SELECT 1 FROM pg_database WHERE datname = '{_checked(name)}';"
        if not self._query(exists):
            source = _checked(template) if template else "template1"
            self._query(f"CREATE DATABASE {name} OWNER {Role.OWNER.value} TEMPLATE {source};")
        if template is None:
            self._run_script("bootstrap_database.sql", name)

    def drop_database(self, name: str) -> None:
        """Drop a database, ending its sessions; nothing where there is none of that name."""
        self._query(f"DROP DATABASE IF EXISTS {_checked(name)} WITH (FORCE);")

    def base_backup(self, target: Path) -> None:
        """Copy the data folder while it is at work, with the log of the while. Raises
        SetupError."""
        arguments = ["--wal-method=stream", "--checkpoint=fast", "--manifest-checksums=SHA256"]
        self._run("pg_basebackup", [f"--pgdata={target}", "--no-password", *arguments])

    def read_log(self, folder: Path, timeline: int, start: str, end: str) -> None:
        """Read the log in a folder from one place to another. Raises SetupError where it
        cannot be followed."""
        place = [f"--timeline={timeline}", f"--start={start}", f"--end={end}"]
        self._run("pg_waldump", ["--quiet", f"--path={folder}", *place])

    def _run(self, program: str, arguments: list[str]) -> None:
        command = [Binaries.for_data_dir(self._data).program(program), *arguments]
        result = self._data.user.run(command, environment=self._environment(SUPERUSER))
        if result.returncode != 0:
            raise SetupError(f"{program} failed: {' '.join(result.stderr.split())[-1000:]}")

    def _environment(self, database: str) -> dict[str, str]:
        """What Postgres' programs connect with."""
        return {
            "PGHOST": str(self._data.sockets),
            "PGUSER": SUPERUSER,
            "PGDATABASE": database,
            "PGPASSWORD": self._passwords[SUPERUSER],
            # A failing ALTER ROLE must not leave its password in the log.
            "PGOPTIONS": "-c log_min_error_statement=panic",
        }

    def _require_durable(self) -> None:
        for name, wanted in DURABLE.items():
            if (found := self._query(f"SHOW {name};")) != wanted:
                raise SetupError(
                    f"Postgres runs with {name} = {found}, so a crash would lose acknowledged "
                    f"photos; remove that line from {self._data.overrides} or postgresql.auto.conf"
                )

    def _run_script(self, name: str, database: str) -> None:
        self._query((Path(__file__).parent / name).read_text(), database)

    def _query(self, sql: str, database: str = SUPERUSER) -> str:
        """Run SQL through psql and return its rows as text. Raises SetupError."""
        passwords = "".join(
            f"\\set {role.name.lower()}_password '{self._passwords[role.value]}'\n" for role in Role
        )
        result = self._data.user.run(
            [self._psql, "--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--file=-"],
            stdin="\\set ON_ERROR_STOP 1\n" + passwords + sql,
            environment=self._environment(database),
        )
        if result.returncode != 0:
            raise SetupError(f"Postgres refused: {' '.join(result.stderr.split())[-1000:]}")
        return result.stdout.strip()


def _checked(name: str) -> str:
    """A database name that needs no quotes; psql is given nothing else."""
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", name):
        raise ValueError(f"not a plain database name: {name!r}")
    return name
