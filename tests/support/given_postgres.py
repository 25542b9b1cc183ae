"""Any Postgres with pgvector in the place of the embedded one."""

import secrets
import subprocess
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from standalone.binaries import Binaries
from standalone.embedded import DATABASE, EmbeddedPostgres, Role


class GivenPostgres(EmbeddedPostgres):
    """A server of the tests' own, named by its superuser's connection string. The two roles are
    made there, or get new passwords, and what earlier tests left is dropped: for one pytest process
    (`-n 0`)."""

    def __init__(self, dsn: str) -> None:
        self._parts = urlsplit(dsn)
        self._passwords = {role.value: secrets.token_urlsafe(24) for role in Role}

    def start(self) -> None:
        self._run_script("bootstrap_roles.sql", "postgres")
        for left in (DATABASE, "facepass_template"):
            self.drop_database(left)
        self.create_database(DATABASE)

    def stop(self) -> None:
        """It was running before."""

    @property
    def data_dir(self) -> Path:
        """Skips the test, which looks into it."""
        pytest.skip("looks into the folder of the embedded Postgres")

    def dsn(self, role: Role, database: str = DATABASE) -> str:
        login, at, host = self._parts.netloc.rpartition("@")
        if role is not Role.SUPERUSER:
            login, at = f"{role.value}:{self._passwords[role.value]}", "@"
        return urlunsplit(self._parts._replace(netloc=f"{login}{at}{host}", path=f"/{database}"))

    def _query(self, sql: str, database: str = "postgres") -> str:
        words = "".join(
            f"\\set {role.name.lower()}_password '{self._passwords[role.value]}'\n"
            for role in (Role.OWNER, Role.SERVER)
        )
        command = [Binaries.in_wheel().program("psql"), "-XqAt", "--file=-"]
        command.append(self.dsn(Role.SUPERUSER, database))
        done = subprocess.run(
            command, input="\\set ON_ERROR_STOP 1\n" + words + sql, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()
