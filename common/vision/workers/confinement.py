"""What a worker may take of its machine, so that an image that harms it harms nothing else."""

import math
import os
import resource
import stat
import sys
import time
from pathlib import Path

MAX_FILES = 256


def forbid_core_dumps() -> None:
    """Have the process leave nothing on disk when it crashes: people's faces would be in it."""
    # Not 0, which Linux ignores where dumps go to a program; 1 it never does.
    _lower(resource.RLIMIT_CORE, 1)


def confine(memory_bytes: int) -> None:
    """Bound what the process may take from now on, for good; its models must be loaded.

    memory_bytes: most that it may allocate beyond what it has, where Linux counts it; 0 for any. A
    library that is refused more raises MemoryError, or says so in its own way.
    """
    _lower(resource.RLIMIT_NOFILE, MAX_FILES)
    # No library puts a part of an image into a file. What it prints may go into one, though.
    if not any(stat.S_ISREG(os.fstat(stream).st_mode) for stream in (1, 2)):
        _lower(resource.RLIMIT_FSIZE, 0)
    if memory_bytes and sys.platform == "linux":
        _lower(resource.RLIMIT_DATA, _allocated_bytes() + memory_bytes)


def allow_cpu(seconds: float) -> None:
    """End the process once it has computed for so long from now, whether or not the server still
    watches it."""
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    until = math.ceil(time.process_time() + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (_within(until, most), most))


def _lower(which: int, value: int) -> None:
    _, most = resource.getrlimit(which)
    value = _within(value, most)
    resource.setrlimit(which, (value, value))


def _within(value: int, most: int) -> int:
    return value if most == resource.RLIM_INFINITY else min(value, most)


def _allocated_bytes() -> int:
    """What RLIMIT_DATA counts: private writable memory, whether or not it was touched."""
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "VmData":
            return int(value.split()[0]) * 1024
    raise AssertionError("no VmData")
