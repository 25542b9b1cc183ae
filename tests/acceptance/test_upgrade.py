"""Servers of the last release and ours on one database, as while a deployment is upgraded."""

import asyncio
import os
import subprocess
import sys
import tarfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from uuid import uuid4

import pytest
from facepass import AsyncClient, PhotoSource
from server_process import ServerProcess

from common.db.migrate import migrate
from common.vision.fake.photos import fake_photo
from standalone.embedded import EmbeddedPostgres, Role

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def last_release(tmp_path: Path) -> Path:
    """Its code: of FACEPASS_TEST_RELEASE (any commit), or of the last tag."""
    release = os.environ.get("FACEPASS_TEST_RELEASE") or _git("describe", "--tags", "--abbrev=0")
    content = subprocess.run(
        ["git", "archive", release.strip()], cwd=ROOT, capture_output=True, check=True
    ).stdout
    with tarfile.open(fileobj=BytesIO(content)) as archive:
        archive.extractall(tmp_path / "release", filter="data")
    return tmp_path / "release"


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip("nothing was released yet: FACEPASS_TEST_RELEASE may name a commit")
    return done.stdout


@pytest.fixture
def empty(postgres: EmbeddedPostgres) -> Iterator[str]:
    """Name of an empty database."""
    name = f"u_{uuid4().hex[:12]}"
    postgres.create_database(name)
    yield name
    postgres.drop_database(name)


@asynccontextmanager
async def serving(folder: Path, dsn: str, code: Path | None) -> AsyncIterator[AsyncClient]:
    """A client of an Indexer and a Searcher of some code."""
    variables = {"DATABASE__DSN": dsn}
    servers = [
        ServerProcess(
            kind, folder.with_name(f"{folder.name}-{kind}"), variables=variables, code=code
        )
        for kind in ("indexer", "searcher")
    ]
    try:
        for run in [server.start() for server in servers]:
            await run.ready()
        async with AsyncClient(indexer=servers[0].indexer, searcher=servers[1].searcher) as client:
            yield client
    finally:
        for server in servers:
            server.end()


def _migrate(code: Path, dsn: str) -> None:
    path = os.pathsep.join([str(code), str(code / "client")])
    environment = {**os.environ, "PYTHONPATH": path, "FACEPASS_DATABASE__DSN": dsn}
    command = [sys.executable, "-m", "standalone", "migrate"]
    subprocess.run(command, cwd=code, env=environment, check=True)


async def found(client: AsyncClient, person: int) -> set[str]:
    result = await client.search("gala", fake_photo([person], shot=7))
    return {match.photo.rpartition("/")[2] for match in result.matches}


async def test_both_serve_while_the_schema_is_already_new(
    last_release: Path, empty: str, postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    owner, server = (postgres.dsn(role, empty) for role in (Role.OWNER, Role.SERVER))
    await asyncio.to_thread(_migrate, last_release, owner)
    async with serving(tmp_path / "old", server, last_release) as old:
        await old.create_event("gala")
        await old.index_photo("gala", PhotoSource("before", fake_photo([1], shot=1)))
        await migrate(owner)
        # The last release goes on, then both serve side by side.
        await old.index_photo("gala", PhotoSource("after", fake_photo([1], shot=2)))
        assert await found(old, 1) == {"before", "after"}
        async with serving(tmp_path / "new", server, None) as new:
            assert await found(new, 1) == {"before", "after"}
            await new.index_photo("gala", PhotoSource("ours", fake_photo([1], shot=3)))
            await old.index_photo("gala", PhotoSource("theirs", fake_photo([1], shot=4)))
            everything = {"before", "after", "ours", "theirs"}
            assert await found(old, 1) == await found(new, 1) == everything
            await new.delete_photo("gala", "before")
            await old.delete_photo("gala", "ours")
            assert await found(old, 1) == await found(new, 1) == {"after", "theirs"}
            await old.create_event("fair")
            await new.delete_event("fair")
