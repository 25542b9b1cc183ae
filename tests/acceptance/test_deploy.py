"""What deploy/ says, without Docker or Kubernetes: files held against each other and against the
settings, and what the image runs, run in a plain folder against a real Postgres."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from patience import PATIENCE_S
from server_process import free_ports

from indexer.config import IndexerSettings
from searcher.config import SearcherSettings
from standalone.embedded import EmbeddedPostgres

pytestmark = pytest.mark.takes(19)

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm/facepass"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
OURS = ("migrate", "indexer", "searcher")
SAMPLES = {".jpg", ".jpeg", ".png", ".webp", ".onnx"}


def settings() -> set[str]:
    """Every variable that a server reads."""
    return {
        f"FACEPASS_{block}__{name}".upper()
        for each in (IndexerSettings, SearcherSettings)
        for block, field in each.model_fields.items()
        for name in field.annotation.model_fields  # type: ignore[union-attr]
    }


@pytest.mark.parametrize(
    "path",
    [p for p in DEPLOY.rglob("*") if p.is_file() and p.name != "env.example"],
    ids=lambda path: path.relative_to(DEPLOY).as_posix(),
)
def test_only_settings_that_there_are(path: Path) -> None:
    named = set(re.findall(r"FACEPASS_[A-Z]+__[A-Z_]+", path.read_text()))
    # The chart puts a server's name in.
    assert named <= settings()


def test_image_is_locked_down() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    targets = re.split(r"^FROM .* AS (cpu|gpu)$", text, flags=re.MULTILINE)[1:]
    assert set(targets[::2]) == {"cpu", "gpu"}
    bodies = [re.sub(r"^(COPY|#).*\n", "", body, flags=re.MULTILINE) for body in targets[1::2]]
    assert bodies[0].strip() == bodies[1].partition("\nFROM")[0].strip()
    for body in bodies:
        assert re.search(r"^USER [1-9]\d*:", body, re.MULTILINE)
        assert 'CMD ["facepass-server", "health", "--live"]' in body


def test_image_is_built_from_what_it_copies() -> None:
    allowed = re.findall(r"^!(.+)$", (DEPLOY / "Dockerfile.dockerignore").read_text(), re.MULTILINE)
    copied = re.findall(r"^COPY (?!--)(.+) \S+$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    sources = {source for line in copied for source in line.split()}
    assert {
        s for s in sources if not any(s == a or s.startswith(f"{a}/") for a in allowed)
    } == set()
    assert not {"tests", "demo", "bench", "shared"} & {a.partition("/")[0] for a in allowed}
    assert all((ROOT / source).exists() for source in sources)


@pytest.mark.parametrize("name", OURS)
def test_compose_runs_our_services_locked_down(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["read_only"] and service["cap_drop"] == ["ALL"]
    assert service["command"] == [name]
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    secrets = {s["file"] for s in COMPOSE["secrets"].values()}
    assert "DSN:" not in str(service["environment"]), "connection strings come from files"
    owner = "owner_dsn" in service["secrets"]
    assert owner == (name == "migrate"), "the owner's role is for migrations alone"
    assert len(secrets) == len(COMPOSE["secrets"])


def test_compose_mounts_what_there_is() -> None:
    for service in COMPOSE["services"].values():
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            if source.startswith("."):
                assert (DEPLOY / source).exists(), source
            elif not source.startswith("$"):
                assert source in COMPOSE["volumes"]
        assert set(service.get("secrets", [])) <= COMPOSE["secrets"].keys()


def test_traces_go_to_the_collector_that_is_added() -> None:
    added = yaml.safe_load((DEPLOY / "compose.traces.yaml").read_text())["services"]
    collectors = added.keys() - COMPOSE["services"].keys()
    assert added.keys() - collectors == {"indexer", "searcher"}
    for name in ("indexer", "searcher"):
        endpoint = urlsplit(added[name]["environment"]["FACEPASS_TRACES__ENDPOINT"])
        assert {endpoint.hostname} == collectors
        assert endpoint.port == 4317, "OTLP through gRPC"
    for name in collectors:
        assert added[name]["cap_drop"] == ["ALL"]
        assert all(port.startswith("127.0.0.1:") for port in added[name]["ports"])


def test_secrets_are_made_once(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    for _ in range(2):
        subprocess.run([DEPLOY / "secrets.sh", folder], check=True)
        made = {path.name: path.read_text() for path in folder.iterdir()}
        shutil.copytree(folder, tmp_path / "first", dirs_exist_ok=True)
    assert made == {path.name: path.read_text() for path in (tmp_path / "first").iterdir()}
    assert {Path(each["file"]).name for each in COMPOSE["secrets"].values()} == made.keys()
    assert len(set(made.values())) == len(made) and min(map(len, made.values())) >= 32
    assert folder.stat().st_mode & 0o077 == 0
    assert made["server_dsn"].startswith(f"postgresql://facepass_server:{made['server_password']}@")


def test_chart_has_a_value_for_what_its_templates_ask() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    asked = set()
    for path in (CHART / "templates").iterdir():
        asked |= set(re.findall(r"\.Values\.([A-Za-z.]+)", path.read_text()))
        for variable, block in (("values", "searcher"), ("policy", "networkPolicy")):
            named = re.findall(rf"\${variable}\.([A-Za-z.]+)", path.read_text())
            asked |= {f"{block}.{name}" for name in named}
    assert len(asked) > 20
    for name in asked:
        found: Any = values
        for part in name.split("."):
            assert part in found, name
            found = found[part]
    assert values["indexer"].keys() == values["searcher"].keys()


@pytest.mark.parametrize(
    "chosen",
    [
        (),
        ("gpu.servers={indexer}", "models.existingClaim=packs", "podMonitor.enabled=true"),
        ("probes.exec=true", "indexer.autoscaling.enabled=true", "networkPolicy.enabled=false"),
    ],
    ids=" ".join,
)
def test_chart_renders(chosen: tuple[str, ...]) -> None:
    helm = shutil.which("helm")
    if helm is None:
        pytest.skip("helm is not installed")
    flags = [part for each in chosen for part in ("--set", each)]
    done = subprocess.run(
        [helm, "template", "fair", str(CHART), *flags], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    kinds = [each["kind"] for each in yaml.safe_load_all(done.stdout) if each]
    assert kinds.count("Deployment") == kinds.count("PodDisruptionBudget") == 2


@dataclass(frozen=True)
class Installed:
    """What the image has, in a folder: a fresh environment with our wheel and no checkout."""

    folder: Path
    environment: dict[str, str]

    def command(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [str(self.folder / "venv/bin/facepass-server"), *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )

    def serve(self, server: str) -> "subprocess.Popen[bytes]":
        with (self.folder / f"{server}.log").open("w") as log:
            return subprocess.Popen(
                [str(self.folder / "venv/bin/facepass-server"), server],
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
            )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel in an environment of its own; the packages it needs are those of the tests'."""
    folder = tmp_path_factory.mktemp("image")
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    python = str(folder / "venv/bin/python")
    install = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True)
    asked = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = subprocess.run([python, "-c", asked], check=True, capture_output=True, text=True)
    # Only a path: what says where the checkout is, is not read from there.
    (Path(site.stdout.strip()) / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    where = subprocess.run(
        [python, "-c", "import common; print(common.__file__)"],
        cwd=folder, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert Path(where.stdout.strip()).is_relative_to(folder), "not the checkout's"
    (folder / "cache").mkdir()
    quiet = {name: text for name, text in os.environ.items() if not name.startswith("FACEPASS_")}
    names = [
        f"FACEPASS_{server}__{what}"
        for server in ("INDEXER", "SEARCHER")
        for what in ("LISTEN", "METRICS_LISTEN")
    ]
    listen = {name: f"0.0.0.0:{port}" for name, port in zip(names, free_ports(4), strict=True)}
    environment = {
        **quiet,
        **listen,
        "FACEPASS_ENGINE__KIND": "fake",
        "FACEPASS_ENGINE__WORKERS": "1",
        "FACEPASS_ENGINE__CACHE_DIR": str(folder / "cache"),
        "FACEPASS_TLS__INSECURE": "true",
        "FACEPASS_AUTH__NONE": "true",
    }
    return Installed(folder, environment)


@pytest.fixture(scope="module")
def roles(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """A Postgres whose roles and database deploy/postgres/roles.sh made, by their DSN files."""
    if shutil.which("psql") is None:
        pytest.skip("psql is not installed (Debian: apt-get install postgresql-client)")
    secrets = tmp_path_factory.mktemp("secrets")
    subprocess.run([DEPLOY / "secrets.sh", secrets], check=True)
    folder = Path(tempfile.mkdtemp(prefix="facepass-deploy-"))
    folder.chmod(0o711)
    try:
        with EmbeddedPostgres(folder / "data") as postgres:
            superuser = urlsplit(postgres.superuser_dsn)
            (sockets,) = parse_qs(superuser.query)["host"]
            postgres.drop_database("facepass")
            environment = {
                **os.environ,
                "PGHOST": sockets,
                "PGPASSWORD": superuser.password or "",
                "POSTGRES_USER": superuser.username or "",
                "BOOTSTRAP": str(ROOT / "standalone"),
                **{
                    f"{role}_PASSWORD_FILE".upper(): str(secrets / f"{role}_password")
                    for role in ("owner", "server")
                },
            }
            subprocess.run([DEPLOY / "postgres/roles.sh"], env=environment, check=True)
            found = {}
            for role in ("owner", "server"):
                path = secrets / f"{role}_dsn"
                # In Docker's network Postgres is a host; here it is a folder with a socket.
                dsn = path.read_text().replace("@postgres:5432/facepass", "@/facepass")
                path.write_text(f"{dsn}?host={sockets}\n")
                found[role] = path
            yield found
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_what_the_image_runs(installed: Installed, roles: dict[str, Path]) -> None:
    nobody = installed.command("health")
    assert nobody.returncode == 1 and "nobody answers" in nobody.stderr

    owner = {"FACEPASS_DATABASE__MIGRATION_DSN_FILE": str(roles["owner"])}
    migrating = Installed(installed.folder, {**installed.environment, **owner})
    migrated = migrating.command("migrate")
    assert migrated.returncode == 0, migrated.stderr
    assert "The database is up to date." in migrated.stdout

    server = {"FACEPASS_DATABASE__DSN_FILE": str(roles["server"])}
    serving = Installed(installed.folder, {**installed.environment, **server})
    processes = {name: serving.serve(name) for name in ("indexer", "searcher")}
    try:
        for name, process in processes.items():
            log = serving.folder / f"{name}.log"
            until = time.monotonic() + PATIENCE_S
            while serving.command("health", name).returncode != 0:
                assert process.poll() is None and time.monotonic() < until, log.read_text()
            assert serving.command("health", name, "--live").returncode == 0
        both = serving.command("health")
        assert both.stdout == "indexer and searcher: serving\n"
    finally:
        for process in processes.values():
            process.terminate()
        codes = [process.wait(PATIENCE_S) for process in processes.values()]
    assert codes == [0, 0]
    written = {path.name for path in installed.folder.iterdir()}
    assert written == {"venv", "cache", "indexer.log", "searcher.log"}


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_image_holds_no_samples(wheel: Path, tmp_path: Path) -> None:
    """Installs all packages anew, as the image is built; needs a package registry."""
    folder = tmp_path / "image"
    install = ["sh", str(DEPLOY / "install.sh"), str(folder)]
    install += [str(ROOT / "requirements/cpu.lock"), str(wheel.parent)]
    done = subprocess.run(install, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert [path for path in files if path.suffix.lower() in SAMPLES] == []
    assert [
        path for path in files if {"test", "tests"} & set(path.parts[len(folder.parts) :])
    ] == []
    asked = [str(folder / "bin/facepass-server"), "models", "list"]
    assert subprocess.run(asked, cwd=tmp_path, capture_output=True).returncode == 0
    loaded = (
        "import insightface.model_zoo, onnxruntime, faiss, cv2, onnx, indexer.app, searcher.app"
    )
    subprocess.run([str(folder / "bin/python"), "-c", loaded], cwd=tmp_path, check=True)
