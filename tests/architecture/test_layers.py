"""Who may know whom: facepass.v1 <- common <- indexer | searcher <- standalone."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("client/facepass", "common", "indexer", "searcher", "standalone", "demo", "bench")
GENERATED = ROOT / "client/facepass/v1"

ALLOWED = {
    "facepass": {"facepass"},
    "common": {"common", "facepass"},
    "indexer": {"indexer", "common", "facepass"},
    "searcher": {"searcher", "common", "facepass"},
    "standalone": {"standalone", "indexer", "searcher", "common", "facepass"},
    "demo": {"demo", "facepass"},
    "bench": {"bench", "demo", "standalone", "indexer", "searcher", "common", "facepass"},
}

# Who may import what: files whose path starts, or whose name ends, like this.
ASYNCPG = ("common/db/", "repository.py", "bench/baselines/")
RUNTIMES = ("common/vision/", "bench/")
WIRE = ("client/", "demo/", "bench/", "common/rpc/", "service.py", "app.py")
VISION_ONLY = ("onnxruntime", "onnx", "insightface.model_zoo", "_dlib_pybind11", "dlib")

# Postgres' own administration (roles, databases, the ledger of migrations) takes no parameters;
# everything else is a named query.
SQL_IN_CODE = (
    "common/db/migrate.py",
    "standalone/cluster.py",
    "standalone/doctor/database.py",  # tells people what to run
    "standalone/embedded.py",
)
SQL = re.compile(
    r"\b(SELECT\s+\S|INSERT\s+INTO\b|UPDATE\s+\w+\s+SET\b|DELETE\s+FROM\b"
    r"|(CREATE|ALTER|DROP)\s+(TABLE|INDEX|ROLE|DATABASE|SCHEMA|EXTENSION|POLICY)\b|GRANT\s+\w+\s+(ON|TO)\b)"
)

# Settings are read by pydantic. These hand an environment to a child, follow the XDG folders, or
# tell gRPC what it takes from the environment only.
ENVIRONMENT = (
    "client/",
    "standalone/__init__.py",
    "common/vision/workers/child_process.py",
    "standalone/data_dir.py",
    "standalone/system_user.py",
    "bench/ground.py",
    "config.py",
)


def sources() -> list[Path]:
    found = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    return sorted(path for path in found if GENERATED not in path.parents)


def place(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def package(path: Path) -> str:
    return place(path).removeprefix("client/").partition("/")[0]


def imported(path: Path) -> Iterator[str]:
    """Full names of what a file imports, at its top or inside functions."""
    parts = place(path).removeprefix("client/").removesuffix(".py").split("/")
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(parts[: -node.level]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            yield from (f"{module}.{alias.name}" for alias in node.names)


def belongs(path: Path, places: tuple[str, ...]) -> bool:
    return any(place(path).startswith(each) or path.name.endswith(each) for each in places)


def offenders(names: tuple[str, ...], places: tuple[str, ...]) -> list[str]:
    """Files outside `places` that import one of the modules `names`, or anything below it."""
    return [
        f"{place(path)}: {name}"
        for path in sources()
        if not belongs(path, places)
        for name in imported(path)
        if any(name == module or name.startswith(f"{module}.") for module in names)
    ]


def test_there_is_something_to_look_at() -> None:
    assert {package(path) for path in sources()} == set(ALLOWED)


@pytest.mark.parametrize("name", ALLOWED)
def test_imports_point_down(name: str) -> None:
    wrong = [
        f"{place(path)}: {module}"
        for path in sources()
        if package(path) == name
        for module in imported(path)
        if module.partition(".")[0] in ALLOWED.keys() - ALLOWED[name]
    ]
    assert wrong == []


def test_servers_know_only_the_stubs_of_the_client() -> None:
    servers = {"common", "indexer", "searcher", "standalone"}
    wrong = [
        f"{place(path)}: {module}"
        for path in sources()
        if package(path) in servers
        for module in imported(path)
        if module.startswith("facepass.") and not module.startswith("facepass.v1.")
    ]
    assert wrong == []


def test_vision_knows_neither_database_nor_wire() -> None:
    forbidden = ("common.db", "common.rpc", "facepass", "grpc", "google.rpc", "asyncpg")
    assert [each for each in offenders(forbidden, ()) if each.startswith("common/vision/")] == []


def test_asyncpg_stays_behind_the_repositories() -> None:
    assert offenders(("asyncpg",), ASYNCPG) == []


def test_runtimes_stay_in_vision() -> None:
    assert offenders(VISION_ONLY, RUNTIMES) == []


def test_opentelemetry_is_imported_where_it_is_used() -> None:
    """Whoever traces nothing does not need it."""
    assert offenders(("opentelemetry",), ("common/rpc/collector.py", "bench/traces.py")) == []


def test_generated_messages_stay_at_the_wire() -> None:
    wrong = [
        f"{place(path)}: {module}"
        for path in sources()
        if not belongs(path, WIRE)
        for module in imported(path)
        if re.search(r"_pb2(_grpc)?(\.|$)", module)
    ]
    assert wrong == []


def test_sql_stands_in_sql_files() -> None:
    wrong = [
        f"{place(path)}:{node.lineno}: {node.value.strip()[:40]}"
        for path in sources()
        if package(path) != "facepass" and not belongs(path, SQL_IN_CODE)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.search(node.value)
    ]
    assert wrong == []


def test_environment_is_read_by_the_settings_alone() -> None:
    wrong = [
        f"{place(path)}:{node.lineno}"
        for path in sources()
        if package(path) != "demo" and not belongs(path, ENVIRONMENT)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv", "environb"}
    ]
    assert wrong == []
