"""What the tests of faults share: how long to go on, and where the figures go."""

import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from fleet import Place, fleet

from standalone.embedded import EmbeddedPostgres, Role

Told = str | int | float
_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Processes that come and go take their time on a busy machine."""
    for item in items:
        if item.path.parent == _HERE and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(400))


@pytest.fixture(scope="session")
def seed() -> int:
    """What the tests' chances follow from: FACEPASS_TEST_SEED, or always the same."""
    return int(os.environ.get("FACEPASS_TEST_SEED", "1"))


@pytest.fixture
def evidence(seed: int) -> Callable[[], AbstractContextManager[Path]]:
    """A folder for journal, logs and data, open to Postgres' user; it is kept where the test
    fails."""

    @contextmanager
    def kept() -> Iterator[Path]:
        folder = Path(tempfile.mkdtemp(prefix="facepass-chaos-"))
        folder.chmod(0o711)
        try:
            yield folder
        except BaseException:
            print(f"FACEPASS_TEST_SEED={seed}; journal, logs and data are kept in {folder}")
            raise
        shutil.rmtree(folder)

    return kept


@pytest.fixture(scope="session")
def long() -> bool:
    """Whether this is the long profile (`make test-chaos`); else tests take seconds each."""
    return os.environ.get("FACEPASS_TEST_PROFILE") == "long"


@pytest.fixture(scope="session")
def figure() -> Callable[..., None]:
    """Call it once a fault, as its test ends: `figure("postgres-killed", done="...", kills=100)`.

    `done` says in a sentence what was done, the others what came of it, in the order to be told.
    page: which of docs/ has it in its table.
    """
    out = os.environ.get("FACEPASS_TEST_FIGURES")

    def tell(fault: str, *, done: str, page: str = "reliability", **counts: Told) -> None:
        line = json.dumps({"fault": fault, "done": done, "page": page, "counts": counts})
        print(line)
        if out:
            with Path(out).open("a") as file:
                file.write(line + "\n")

    return tell


@pytest.fixture(scope="module")
async def place(
    postgres: EmbeddedPostgres, template: str, request: pytest.FixtureRequest
) -> AsyncIterator[Place]:
    """Two Indexers and two Searchers for all tests of a file, which have events of their own."""
    folder = Path(tempfile.mkdtemp(prefix="facepass-chaos-"))
    failed = request.session.testsfailed
    name = f"fleet_{uuid4().hex[:12]}"
    postgres.create_database(name, template=template)
    async with fleet(folder, postgres.dsn(Role.SERVER, name)) as running:
        yield Place(running, folder, postgres.dsn(Role.OWNER, name))
    postgres.drop_database(name)
    if request.session.testsfailed == failed:
        shutil.rmtree(folder)
    else:
        print(f"journals and logs are kept in {folder}")
