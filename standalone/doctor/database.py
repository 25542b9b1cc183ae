"""The doctor's look at the database."""

import asyncio
from collections.abc import Iterator, Set
from dataclasses import replace
from pathlib import Path

from common.config import DatabaseSettings
from common.db.wall import ADVICE
from common.errors import SetupError
from standalone.backup.archiving import Archiving
from standalone.binaries import Binaries
from standalone.data_dir import PASSWORDS_FILE, DataDir
from standalone.doctor import backups
from standalone.doctor.finding import Finding, Level, fail, ok, warn
from standalone.doctor.templates import check_events
from standalone.embedded import EmbeddedPostgres
from standalone.repository import DatabaseFacts, examine_database

_OLDEST_POSTGRES = 160_000
_OLDEST_VECTOR = (0, 8)
"""Versions from which on what FacePass uses is there: iterative index scans, fast halfvec."""


def check_given(
    settings: DatabaseSettings, template_keys: Set[str] = frozenset()
) -> Iterator[Finding]:
    """The Postgres of FACEPASS_DATABASE__DSN. template_keys: ids of the keys that there are."""
    try:
        facts = asyncio.run(examine_database(settings.dsn.get_secret_value(), template_keys))
    except SetupError as error:
        yield fail(
            "postgres",
            f"cannot connect: {error.message}",
            "check host, port, database, user and password of FACEPASS_DATABASE__DSN, and that "
            "this machine may connect (pg_hba.conf, firewall)",
        )
        return
    yield from judge(facts)
    if facts.archive is not None:
        yield backups.check_archive(facts.archive)
    if settings.replica_dsn.get_secret_value():
        yield from _check_replica(settings, template_keys)


def _check_replica(settings: DatabaseSettings, template_keys: Set[str]) -> Iterator[Finding]:
    """The first of FACEPASS_DATABASE__REPLICA_DSN that answers."""
    try:
        dsn = settings.replica_dsn.get_secret_value()
        facts = asyncio.run(examine_database(dsn, template_keys, replica=True))
    except SetupError as error:
        yield warn(
            "replica",
            f"cannot connect: {error.message}",
            "check FACEPASS_DATABASE__REPLICA_DSN; until then searches read on the primary",
        )
        return
    wrong = [each for each in judge(facts) if each.level is not Level.OK]
    yield from (replace(each, subject="replica") for each in wrong)
    if not wrong:
        yield ok("replica", f"version {facts.version}, can be read")


def check_embedded(
    data: DataDir, archive: Archiving | None, template_keys: Set[str]
) -> Iterator[Finding]:
    """The embedded Postgres: the running one, or one started for the look and stopped."""
    try:
        data.require_usable()
        Binaries.in_wheel()
        if not data.cluster.exists():
            yield ok("data folder", f"{data.root} can be used; the first start makes it")
            return
        in_use = data.in_use
        facts = asyncio.run(_examine_embedded(data.root, archive, in_use, template_keys))
    except (SetupError, OSError) as error:
        yield fail("data folder", str(error), "until then the standalone does not start")
        return
    used = "in use by a standalone" if in_use else "not in use"
    yield ok("data folder", f"{data.root}, {used}")
    yield from _private_passwords(data.root / PASSWORDS_FILE)
    yield from judge(facts, migrates_itself=True)
    if facts.archive is not None:
        yield from backups.check_embedded(archive, facts.archive)


def _private_passwords(path: Path) -> Iterator[Finding]:
    if path.stat().st_mode & 0o077:
        yield warn("data folder", f"others may read {path}", f"chmod 600 {path}")


async def _examine_embedded(
    root: Path, archive: Archiving | None, in_use: bool, template_keys: Set[str]
) -> DatabaseFacts:
    postgres = EmbeddedPostgres(root, archive)
    if in_use:
        postgres.attach()
        return await examine_database(postgres.server_dsn, template_keys)
    await asyncio.to_thread(postgres.start)
    try:
        return await examine_database(postgres.server_dsn, template_keys)
    finally:
        await asyncio.to_thread(postgres.stop)


def judge(facts: DatabaseFacts, *, migrates_itself: bool = False) -> Iterator[Finding]:
    """What there is to say about a database.

    migrates_itself: whether it is brought up to date at each start.
    """
    yield _version(facts)
    yield _vector(facts)
    yield _migrations(facts, migrates_itself)
    yield from _wall(facts)
    yield from check_events(facts.locked_events)
    if facts.tables_out_of_reach:
        yield fail(
            "rights",
            f"role {facts.role} cannot read and write {', '.join(facts.tables_out_of_reach)}",
            "as the owner: GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public "
            f"TO {facts.role}",
        )
    if facts.unsafe_settings:
        yield warn(
            "safety",
            f"{', '.join(facts.unsafe_settings)}: a crash can lose acknowledged photos",
            "switch it on in Postgres' settings",
        )


def _version(facts: DatabaseFacts) -> Finding:
    if facts.version_num < _OLDEST_POSTGRES:
        return fail("postgres", f"version {facts.version}", "move to Postgres 16 or later, best 18")
    return ok("postgres", f"version {facts.version}")


def _vector(facts: DatabaseFacts) -> Finding:
    if facts.vector is None and facts.vector_available is None:
        return fail(
            "pgvector",
            "not installed on the database server",
            "install it there (package postgresql-NN-pgvector, or see pgvector's README)",
        )
    if facts.vector is None:
        return fail(
            "pgvector",
            "not in this database",
            "as a superuser, in this database: CREATE EXTENSION vector",
        )
    if tuple(int(part) for part in facts.vector.split(".")[:2]) < _OLDEST_VECTOR:
        return fail(
            "pgvector",
            f"version {facts.vector}",
            "install pgvector 0.8 or later on the server, then: ALTER EXTENSION vector UPDATE",
        )
    return ok("pgvector", f"version {facts.vector}")


def _wall(facts: DatabaseFacts) -> Iterator[Finding]:
    if facts.wall is not None and facts.wall.holes:
        yield fail("wall", f"{facts.role} could see faces of any event: {facts.wall.holes}", ADVICE)
    elif facts.wall is not None:
        yield ok("wall", f"{facts.role} sees no event's faces but those of the one it works for")


def _migrations(facts: DatabaseFacts, migrates_itself: bool) -> Finding:
    if facts.migration_problem:
        return fail(
            "migrations",
            facts.migration_problem,
            "install the release that wrote this database, or a later one, unchanged",
        )
    if facts.missing_migrations and not migrates_itself:
        missing = ", ".join(facts.missing_migrations)
        return fail("migrations", f"not yet run: {missing}", "run: facepass-server migrate")
    if facts.missing_migrations:
        return ok("migrations", f"the next start runs {', '.join(facts.missing_migrations)}")
    return ok("migrations", "all run, none edited since")
