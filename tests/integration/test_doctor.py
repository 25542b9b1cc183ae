"""The doctor sees each thing that a user can get wrong, and says what to do about it."""

import asyncio
import json
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest
from fsync import set_fsync
from pydantic import SecretStr

from common.config import MIB, DatabaseSettings, EngineSettings, TemplateSettings
from common.templates.keys import TemplateKeys, new_key
from standalone.data_dir import DataDir
from standalone.doctor import Finding, Level, database, engine, examine, machine, templates
from standalone.embedded import EmbeddedPostgres, Role
from standalone.repository import examine_database

DATABASE = "doctor"


def one(findings: Iterator[Finding] | list[Finding], subject: str) -> Finding:
    """The only finding of that subject which is not ok."""
    wrong = [each for each in findings if each.level is not Level.OK and each.subject == subject]
    assert len(wrong) == 1, wrong
    return wrong[0]


@pytest.fixture(scope="module")
async def durable(superuser: asyncpg.Connection) -> AsyncIterator[None]:
    """Postgres runs with the settings that it should have."""
    was = await set_fsync(superuser, "on")
    yield
    await set_fsync(superuser, was)


@pytest.fixture
def healthy(postgres: EmbeddedPostgres, template: str, durable: None) -> Iterator[DatabaseSettings]:
    """A migrated database, named as the server's role."""
    postgres.create_database(DATABASE, template)
    yield DatabaseSettings(dsn=SecretStr(postgres.dsn(Role.SERVER, DATABASE)))
    postgres.drop_database(DATABASE)


async def run_sql(postgres: EmbeddedPostgres, sql: str) -> None:
    connection = await asyncpg.connect(postgres.dsn(Role.SUPERUSER, DATABASE))
    await connection.execute(sql)
    await connection.close()


def test_healthy_database_has_nothing_to_mend(healthy: DatabaseSettings) -> None:
    findings = list(database.check_given(healthy))
    levels = {each.subject: each.level for each in findings}
    assert levels.pop("archive") is Level.WARN  # the tests' Postgres is not backed up
    assert levels.keys() == {"postgres", "pgvector", "wall", "migrations"}
    assert set(levels.values()) == {Level.OK}


@pytest.mark.parametrize(
    ("harm", "subject", "advice"),
    [
        ("DROP EXTENSION vector CASCADE", "pgvector", "CREATE EXTENSION vector"),
        ("DROP TABLE migration", "migrations", "facepass-server migrate"),
        ("DELETE FROM migration WHERE number > 1", "migrations", "facepass-server migrate"),
        ("UPDATE migration SET sha256 = 'x' WHERE number = 1", "migrations", "unchanged"),
        ("UPDATE migration SET number = 999 WHERE number = 1", "migrations", "later one"),
        ("REVOKE SELECT ON migration FROM facepass_server", "migrations", "release"),
        ("REVOKE DELETE ON photo, face FROM facepass_server", "rights", "GRANT SELECT"),
        ("ALTER TABLE photo DISABLE ROW LEVEL SECURITY", "wall", "MIGRATION_DSN"),
    ],
)
def test_harmed_database(
    postgres: EmbeddedPostgres, healthy: DatabaseSettings, harm: str, subject: str, advice: str
) -> None:
    asyncio.run(run_sql(postgres, harm))
    found = one(database.check_given(healthy), subject)
    assert found.level is Level.FAIL
    assert advice in found.advice


def test_rights_name_the_tables(postgres: EmbeddedPostgres, healthy: DatabaseSettings) -> None:
    asyncio.run(run_sql(postgres, "REVOKE DELETE ON photo, face FROM facepass_server"))
    assert "face, photo" in one(database.check_given(healthy), "rights").text


@pytest.mark.parametrize("role", [Role.SUPERUSER, Role.OWNER])
def test_roles_above_the_wall(
    postgres: EmbeddedPostgres, healthy: DatabaseSettings, role: Role
) -> None:
    dsn = SecretStr(postgres.dsn(role, DATABASE))
    found = one(database.check_given(healthy.model_copy(update={"dsn": dsn})), "wall")
    assert found.level is Level.FAIL and "FACEPASS_DATABASE__MIGRATION_DSN" in found.advice
    assert role.value in found.text and "5 rows" in found.text


def test_a_replica_is_looked_at_too(postgres: EmbeddedPostgres, healthy: DatabaseSettings) -> None:
    away = "postgresql://facepass_server:hush@127.0.0.1:1/facepass"
    found = [
        [each for each in database.check_given(settings) if each.subject == "replica"]
        for dsn in (postgres.dsn(Role.SERVER, DATABASE), postgres.dsn(Role.OWNER, DATABASE), away)
        for settings in [healthy.model_copy(update={"replica_dsn": SecretStr(dsn)})]
    ]
    levels = [[each.level for each in some] for some in found]
    assert levels == [[Level.OK], [Level.FAIL], [Level.WARN]]
    assert "hush" not in str(found)


def test_old_versions_and_unsafe_settings(healthy: DatabaseSettings) -> None:
    facts = asyncio.run(examine_database(healthy.dsn.get_secret_value()))
    old = replace(
        facts,
        version="15.9",
        version_num=150009,
        vector="0.7.4",
        unsafe_settings=("fsync = off",),
    )
    findings = list(database.judge(old))
    assert "16 or later" in one(findings, "postgres").advice
    assert "0.8 or later" in one(findings, "pgvector").advice
    assert "fsync = off" in one(findings, "safety").text
    absent = replace(facts, vector=None, vector_available=None)
    assert "install it there" in one(database.judge(absent), "pgvector").advice


def test_events_whose_key_is_missing_are_named(
    postgres: EmbeddedPostgres, healthy: DatabaseSettings, tmp_path: Path
) -> None:
    path = tmp_path / "keys"
    path.write_text(new_key())
    path.chmod(0o644)
    settings = TemplateSettings(key_file=str(path))
    assert f"chmod o-rwx {path}" in one(templates.check_keys(settings), "templates").advice
    path.chmod(0o640)
    (fine,) = templates.check_keys(settings)
    assert fine.level is Level.OK and str(TemplateKeys.of(settings).first) in fine.text
    insert = (
        "INSERT INTO event (event_id, name, uid, display_name, location, quality_filter, detail, "
        "template_key) SELECT n, 'e' || n, gen_random_uuid(), '', '', 'AUTO', 'STANDARD', "
    )
    ours = f"'{TemplateKeys.of(settings).first}' FROM generate_series(1, 3) AS n"
    asyncio.run(run_sql(postgres, insert + ours))
    known = templates.known_keys(settings)
    assert [
        each for each in database.check_given(healthy, known) if each.subject == "templates"
    ] == []
    others = "'0123abcd' FROM generate_series(11, 17) AS n"
    asyncio.run(run_sql(postgres, insert + others))
    found = one(database.check_given(healthy, known), "templates")
    assert found.level is Level.FAIL and "FACEPASS_TEMPLATES__KEY_FILE" in found.advice
    assert "0123abcd is missing, of e11, e12, e13, e14, e15 and 2 more" in found.text
    path.write_text("no key")
    assert one(templates.check_keys(settings), "templates").level is Level.FAIL
    assert templates.known_keys(settings) == frozenset()


def test_unreachable_database_is_told_without_its_password() -> None:
    dsn = SecretStr("postgresql://facepass:hush@127.0.0.1:1/facepass")
    found = one(database.check_given(DatabaseSettings(dsn=dsn)), "postgres")
    assert found.level is Level.FAIL and "FACEPASS_DATABASE__DSN" in found.advice
    assert "hush" not in found.text + found.advice


def test_processor_without_avx2(tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("model name\t: Old\nflags\t\t: fpu sse4_2 avx\n")
    assert "FACEPASS_DATABASE__DSN" in one([machine.check_cpu(info, "x86_64")], "cpu").advice
    info.write_text("flags\t\t: fpu avx avx2\n")
    assert machine.check_cpu(info, "x86_64").level is Level.OK
    assert machine.check_cpu(info, "aarch64").level is Level.OK


def test_little_memory_and_disk(tmp_path: Path) -> None:
    assert one([machine.check_memory(300 * MIB)], "memory").level is Level.FAIL
    assert one([machine.check_memory(1024 * MIB)], "memory").level is Level.WARN
    data = DataDir.at(tmp_path)
    full, tight = machine.check_disk(data, 100 * MIB), machine.check_disk(data, 2048 * MIB)
    assert [next(full).level, next(tight).level] == [Level.FAIL, Level.WARN]


def test_data_on_a_passing_file_system() -> None:
    shared_memory = Path("/dev/shm")
    if not shared_memory.is_dir():
        pytest.skip("needs /dev/shm")
    found = list(machine.check_disk(DataDir.at(shared_memory / "facepass")))
    assert "does not survive" in found[-1].text and "--data-dir" in found[-1].advice


def test_addresses() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        listen = f"127.0.0.1:{server.getsockname()[1]}"
        taken = one([machine.check_address("FACEPASS_X__LISTEN", listen)], "address")
        assert "is taken by" in taken.text and "set FACEPASS_X__LISTEN" in taken.advice
    assert machine.check_address("FACEPASS_X__LISTEN", listen).level is Level.OK
    for wrong in ("50051", "localhost", "127.0.0.1:http", "127.0.0.1:70000", "203.0.113.1:5005"):
        assert one([machine.check_address("FACEPASS_X__LISTEN", wrong)], "address").advice


def test_rival_packages() -> None:
    right = {"onnxruntime", "opencv-python-headless"}
    assert {each.level for each in engine.check_packages(right)} == {Level.OK}
    both = one(engine.check_packages({*right, "onnxruntime-gpu"}), "packages")
    assert "pip uninstall onnxruntime onnxruntime-gpu" in both.advice
    none = one(engine.check_packages({"opencv-python-headless"}), "packages")
    assert "pip install onnxruntime" in none.advice
    assert {each.level for each in engine.check_packages(engine.installed_packages())} == {Level.OK}


def test_engines(tmp_path: Path) -> None:
    assert engine.check_engine(EngineSettings(kind="starter")).level is Level.OK
    assert engine.check_engine(EngineSettings(kind="fake")).level is Level.WARN
    absent = EngineSettings(kind="onnx", pack="buffalo_l", model_root=tmp_path)
    missing = one([engine.check_engine(absent)], "engine")
    assert missing.level is Level.FAIL and "models pull buffalo_l" in missing.text
    accepted = absent.model_copy(update={"accept_license": True})
    later = one([engine.check_engine(accepted)], "engine")
    assert later.level is Level.WARN and "first start downloads it" in later.text
    assert list(tmp_path.iterdir()) == []
    nowhere = EngineSettings(providers=["NoSuchExecutionProvider"])
    found = one([engine.check_providers(nowhere)], "providers")
    assert "FACEPASS_ENGINE__PROVIDERS" in found.advice
    assert engine.check_providers(EngineSettings()).level is Level.OK


def test_workers_are_told_with_the_reason() -> None:
    found = engine.check_crew(EngineSettings(kind="fake", workers=3, threads=2))
    assert (found.level, found.subject) == (Level.OK, "workers")
    assert found.text == "workers: 3, threads of each: 2 (as set)"


def test_embedded_folder_of_somebody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(tempfile.mkdtemp(prefix="facepass-test-"))
    try:
        (folder / "holiday.txt").write_text("precious")
        monkeypatch.setenv("FACEPASS_ENGINE__KIND", "fake")
        monkeypatch.setenv("FACEPASS_DATABSE__DSN", "mistyped")
        findings = examine(folder)
        assert "--data-dir" in one(findings, "data folder").text
        assert "FACEPASS_DATABSE__DSN" in one(findings, "settings").text
    finally:
        shutil.rmtree(folder)


def test_command_looks_at_the_embedded_postgres_and_leaves_it_as_it_was() -> None:
    folder = Path(tempfile.mkdtemp(prefix="facepass-test-"))
    folder.chmod(0o711)
    data = folder / "data"
    ports = {
        f"FACEPASS_{server}__{listen}": "127.0.0.1:0"
        for server in ("INDEXER", "SEARCHER")
        for listen in ("LISTEN", "METRICS_LISTEN")
    }

    def doctor(**variables: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "standalone", "doctor", "--json", f"--data-dir={data}"],
            env={**ports, "FACEPASS_ENGINE__KIND": "fake", "PATH": "/usr/bin:/bin", **variables},
            capture_output=True,
            text=True,
        )

    try:
        unmade = doctor()
        assert unmade.returncode == 0, unmade.stdout + unmade.stderr
        assert "the first start makes it" in unmade.stdout
        assert not data.exists()
        with EmbeddedPostgres(data):
            running = doctor()
        stopped = doctor()
        for done, use in ((running, "in use by a standalone"), (stopped, "not in use")):
            findings = json.loads(done.stdout)
            assert done.returncode == 0, findings
            assert any(use in each["text"] for each in findings)
            assert any(each["subject"] == "pgvector" for each in findings)
        assert not (data / "postgres/postmaster.pid").exists()
        (data / "passwords.json").chmod(0o644)
        assert "chmod 600" in doctor().stdout
        broken = doctor(FACEPASS_SEARCHER__LISTEN="nowhere:99999")
        assert broken.returncode == 1
        assert "FACEPASS_SEARCHER__LISTEN" in broken.stdout
    finally:
        shutil.rmtree(folder)
