"""Postgres' settings for one machine that it shares with both servers."""

import shutil
from pathlib import Path

import psutil

MIB = 1024 * 1024
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
_SHARED_MEMORY = Path("/dev/shm")

DURABLE = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}
"""Settings without which an acknowledged photo can be lost."""


def memory_bytes() -> int:
    """Memory that this process may use: the machine's, or less where a container says so."""
    total = int(psutil.virtual_memory().total)
    try:
        return min(total, int(_CGROUP_LIMIT.read_text()))
    except (OSError, ValueError):
        return total


def settings(sockets: Path, logs: Path, memory: int) -> dict[str, str]:
    """Postgres settings for a machine of `memory` bytes, by name."""
    maintenance = _between(64, memory // MIB // 16, 1024)
    return {
        **DURABLE,
        "listen_addresses": "",
        "unix_socket_directories": str(sockets),
        "unix_socket_permissions": "0700",
        "password_encryption": "scram-sha-256",
        "shared_buffers": f"{_between(64, memory // MIB // 8, 2048)}MB",
        "effective_cache_size": f"{max(128, memory // MIB // 2)}MB",
        "maintenance_work_mem": f"{maintenance}MB",
        "work_mem": "32MB",
        "random_page_cost": "1.1",
        "jit": "off",
        "max_parallel_workers_per_gather": "0",
        "max_parallel_maintenance_workers": "1",
        "max_locks_per_transaction": "256",
        "dynamic_shared_memory_type": _dynamic_shared_memory(maintenance * MIB),
        "min_wal_size": "256MB",
        "max_wal_size": "2GB",
        # A file of the log that is used again keeps what it held, templates that were removed too.
        "wal_recycle": "off",
        "checkpoint_timeout": "15min",
        # A commit waits for all that was logged before it, which building a graph does at once.
        "wal_writer_delay": "10ms",
        "autovacuum_vacuum_insert_scale_factor": "0.02",
        "timezone": "UTC",
        "log_timezone": "UTC",
        # A week of logs, a file a day; never a statement's values, which may be embeddings.
        "logging_collector": "on",
        "log_directory": str(logs),
        "log_filename": "postgres-%a.log",
        "log_truncate_on_rotation": "on",
        "log_rotation_age": "1d",
        "log_rotation_size": "0",
        "log_parameter_max_length": "0",
        "log_parameter_max_length_on_error": "0",
    }


def settings_file(values: dict[str, str], overrides: Path) -> str:
    """The text of postgresql.conf."""
    lines = [f"{name} = {_quoted(value)}" for name, value in values.items()]
    return "\n".join(
        [
            "# Written anew at each start of facepass-server. Settings of your own go into the "
            "file named last.",
            *lines,
            f"include_if_exists = {_quoted(str(overrides))}",
            "",
        ]
    )


def _dynamic_shared_memory(needed_bytes: int) -> str:
    """Files where /dev/shm cannot hold a parallel index build (containers give it 64 MiB)."""
    try:
        enough = shutil.disk_usage(_SHARED_MEMORY).total >= needed_bytes + 64 * MIB
    except OSError:
        return "mmap"
    return "posix" if enough else "mmap"


def _between(least: int, value: int, most: int) -> int:
    return max(least, min(value, most))


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
