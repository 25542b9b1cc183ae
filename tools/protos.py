"""What is made from `protos/`: the stubs, their comparison with the committed ones, lint, breaks.

usage: protos.py generate | check | lint | breaking REF
"""

import argparse
import filecmp
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STUBS = Path("facepass/v1")
LONGRUNNING = Path("google/longrunning")
SITE = Path(sysconfig.get_path("purelib"))
SCRIPTS = Path(sysconfig.get_path("scripts"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("generate", "check", "lint"):
        commands.add_parser(name)
    commands.add_parser("breaking").add_argument("ref", nargs="?", default="")
    options = parser.parse_args()
    match options.command:
        case "generate":
            return generate(ROOT / "client")
        case "check":
            return check()
        case "lint":
            return lint()
        case _:
            return breaking(options.ref)


def protoc(protos: Path, *arguments: str) -> int:
    """Run protoc over all our files below `protos`; google's come from the installed packages."""
    files = sorted(str(path) for path in (protos / STUBS).glob("*.proto"))
    plugin = f"--plugin=protoc-gen-mypy_grpc={SCRIPTS / 'protoc-gen-mypy_grpc'}"
    with tempfile.TemporaryDirectory() as staged:
        # Installed under another name than the one that everybody imports it by.
        operations = Path(staged) / LONGRUNNING / "operations.proto"
        operations.parent.mkdir(parents=True)
        shutil.copy(SITE / LONGRUNNING / "operations_proto.proto", operations)
        folders = [f"-I{folder}" for folder in (protos, staged, SITE)]
        command = [sys.executable, "-m", "grpc_tools.protoc", *folders, plugin]
        return subprocess.run([*command, *arguments, *files]).returncode


def generate(out: Path) -> int:
    """Write the stubs below `out`."""
    kinds = ("python", "pyi", "grpc_python", "mypy_grpc")
    return protoc(ROOT / "protos", *(f"--{kind}_out={out}" for kind in kinds))


def check() -> int:
    """Fail when the committed stubs are not what `generate` writes."""
    committed = ROOT / "client" / STUBS
    with tempfile.TemporaryDirectory() as folder:
        if generate(Path(folder)) != 0:
            return 1
        fresh = Path(folder) / STUBS
        names = {path.name for path in fresh.iterdir()}
        stale = names ^ {path.name for path in committed.glob("*_pb2*")}
        _, differ, broken = filecmp.cmpfiles(fresh, committed, names - stale, shallow=False)
    wrong = sorted({*stale, *differ, *broken})
    if wrong:
        print(f"stale: {', '.join(wrong)} in {committed}. Run `make protos`.", file=sys.stderr)
    return 1 if wrong else 0


def lint() -> int:
    buf = find_buf()
    if buf is None:
        return 0
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "facepass.binpb"
        return describe(ROOT / "protos", image) or run_buf(buf, "lint", str(image))


def breaking(ref: str) -> int:
    """Compare with the protos of a git revision; empty while nothing is released."""
    buf = find_buf() if ref else None
    if buf is None:
        print("proto-breaking: nothing to compare with." if not ref else "proto-breaking: skipped.")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "before.binpb", Path(folder) / "after.binpb"
        archive = Path(folder) / "protos.zip"
        git = ["git", "-C", str(ROOT), "archive", "-o", str(archive), ref, "protos"]
        subprocess.run(git, check=True)
        with zipfile.ZipFile(archive) as files:
            files.extractall(folder)
        described = describe(Path(folder) / "protos", before) or describe(ROOT / "protos", after)
        return described or run_buf(buf, "breaking", str(after), "--against", str(before))


def describe(protos: Path, image: Path) -> int:
    """Write a FileDescriptorSet of everything.

    buf lints that instead of the files: google's are not in reach without its schema registry.
    """
    return protoc(protos, "--include_imports", "--include_source_info", f"-o{image}")


def find_buf() -> str | None:
    places = os.pathsep.join([str(Path(sys.prefix) / "node/node_modules/.bin"), os.environ["PATH"]])
    buf = shutil.which("buf", path=places)
    if buf is None:
        print("buf is not here (`make buf` installs it where npm is): skipped.", file=sys.stderr)
    return buf


def run_buf(buf: str, *arguments: str) -> int:
    return subprocess.run([buf, *arguments, "--config", str(ROOT / "buf.yaml")]).returncode


if __name__ == "__main__":
    sys.exit(main())
