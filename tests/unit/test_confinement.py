"""What a confined process may not do, each tried in a process of its own."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

CONFINED = """
import os, resource
from common.vision.workers.confinement import allow_cpu, confine, forbid_core_dumps
forbid_core_dumps()
confine({memory_bytes})
"""


def run(code: str, *, memory_bytes: int = 0) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", CONFINED.format(memory_bytes=memory_bytes) + code],
        env={"PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts it")
def test_memory_ends_where_it_is_said() -> None:
    fits, too_much = (f"print(len(bytearray({size} << 20)))" for size in (60, 70))
    assert run(fits, memory_bytes=64 << 20).returncode == 0
    refused = run(too_much, memory_bytes=64 << 20)
    assert refused.returncode == 1
    assert "MemoryError" in refused.stderr
    assert run(too_much).returncode == 0


def test_no_file_can_be_written(tmp_path: Path) -> None:
    file = tmp_path / "selfie"
    refused = run(f"open({str(file)!r}, 'wb', buffering=0).write(b'a')")
    assert "File too large" in refused.stderr
    assert file.read_bytes() == b""


def test_files_are_few_and_dumps_none() -> None:
    limits = run("print(resource.getrlimit(resource.RLIMIT_CORE))").stdout
    assert limits.strip() in ("(1, 1)", "(0, 0)")
    refused = run("[os.dup(0) for _ in range(256)]")
    assert "Too many open files" in refused.stderr


def test_computing_without_end_is_ended() -> None:
    """Also where nobody is left to end it."""
    assert run("allow_cpu(0.1)\nwhile True: pass").returncode == -signal.SIGXCPU
    assert run("allow_cpu(60)\nallow_cpu(60)\nprint('done')").stdout == "done\n"
