"""What every file of the checkout keeps to."""

import re
from pathlib import Path

MAX_LINES = 400
CODE = {".py", ".sql", ".proto", ".sh"}
GENERATED = re.compile(r"_pb2(_grpc)?\.pyi?$")

# Written in pieces, so that this file holds none. Installing uses whatever registry the user has.
HOSTS = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("files", "pythonhosted", "org"),
        ("registry", "npmjs"),
        ("proxy", "golang", "org"),
        ("download", "pytorch", "org"),
    )
]
# Folders of the machines where FacePass is built say nothing to its users.
MACHINE = re.compile(r"(?<![\w./-])/(wor" + r"k|far" + r"m)/\w")


def text_of(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


def test_no_file_is_too_long(our_files: list[Path], root: Path) -> None:
    long = {
        path.relative_to(root).as_posix(): lines
        for path in our_files
        if path.suffix in CODE and not GENERATED.search(path.name)
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > MAX_LINES
    }
    assert long == {}


def test_no_registry_host_and_no_folder_of_a_machine(our_files: list[Path], root: Path) -> None:
    found = [
        f"{path.relative_to(root)}: {match}"
        for path in our_files
        if (text := text_of(path)) is not None
        for match in [*(host for host in HOSTS if host in text), *MACHINE.findall(text)]
    ]
    assert found == []


def test_nothing_heavy_or_personal_is_committed(our_files: list[Path], root: Path) -> None:
    """No weights and no photos: they have licences, and people in them."""
    kinds = {".onnx", ".dat", ".pt", ".pth", ".npz", ".npy", ".jpg", ".jpeg", ".webp", ".heic"}
    heavy = [
        path.relative_to(root).as_posix()
        for path in our_files
        if path.suffix.lower() in kinds or path.stat().st_size > 1024 * 1024
    ]
    assert heavy == []


def test_migrations_are_numbered_without_gaps(root: Path) -> None:
    names = sorted(path.name for path in (root / "migrations").iterdir())
    numbers = [int(name.partition("_")[0]) for name in names]
    assert names and numbers == list(range(1, len(names) + 1))
    assert all(re.fullmatch(r"\d{4}_[a-z0-9_]+\.sql", name) for name in names)


def test_tests_and_migrations_are_no_packages(root: Path) -> None:
    assert not [*(root / "tests").rglob("__init__.py"), *(root / "migrations").rglob("__init__.py")]


def test_every_decision_is_listed(root: Path) -> None:
    folder = root / "docs/decisions"
    listed = re.findall(r"\]\((\d{4}-[^)]+)\)", (folder / "README.md").read_text())
    assert listed == sorted(path.name for path in folder.glob("[0-9]*.md"))
