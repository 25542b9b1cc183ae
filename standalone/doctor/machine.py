"""The doctor's look at the machine: processor, memory, disk, addresses."""

import errno
import platform
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

from common.config import ServerSettings
from standalone.data_dir import DataDir
from standalone.doctor.finding import Finding, fail, ok, warn
from standalone.tuning import memory_bytes

GIB = 1024**3
CPU_INFO = Path("/proc/cpuinfo")
_OUR_PROGRAMS = ("facepass-server", "standalone")
# Folders that a restart of the machine or of the container empties.
_PASSING = ("tmpfs", "ramfs", "overlay")


def check_python() -> Finding:
    """Which Python runs us, and that it is a 64-bit one."""
    found = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    if sys.maxsize < 2**32:
        return fail("python", f"{found}, 32 bits", "install a 64-bit Python >= 3.11")
    return ok("python", found)


def check_cpu(cpu_info: Path = CPU_INFO, machine: str = platform.machine()) -> Finding:
    """The embedded pgvector is compiled for AVX2, as every x86-64 server since 2015 has it."""
    if machine not in ("x86_64", "AMD64") or not cpu_info.exists():
        return ok("cpu", machine)
    flags = next(
        (line for line in cpu_info.read_text().splitlines() if line.startswith("flags")), ""
    )
    if "avx2" not in flags.split():
        return fail(
            "cpu",
            "no AVX2: the embedded pgvector would crash",
            "set FACEPASS_DATABASE__DSN to a Postgres of your own, or (in a virtual machine) "
            "pass the host's processor through",
        )
    return ok("cpu", f"{machine} with AVX2, {psutil.cpu_count()} cores")


def check_memory(memory: int | None = None) -> Finding:
    """Whether the memory that this process may use suffices."""
    found = memory_bytes() if memory is None else memory
    text = f"{found / GIB:.1f} GiB"
    advice = "give the machine or container at least 2 GiB"
    if found < GIB // 2:
        return fail("memory", text, advice)
    if found < 2 * GIB * 0.9:
        return warn("memory", text, f"{advice}, or lower FACEPASS_ENGINE__WORKERS")
    return ok("memory", text)


def check_disk(data: DataDir, free: int | None = None) -> Iterator[Finding]:
    """Space for the data folder, and that it is a disk that stays."""
    place = next(each for each in (data.root, *data.root.parents) if each.exists())
    found = shutil.disk_usage(place).free if free is None else free
    text = f"{found / GIB:.1f} GiB free for {data.root}"
    advice = "free some space, or choose another disk with --data-dir"
    if found < GIB:
        yield fail("disk", text, advice)
    elif found < 5 * GIB:
        yield warn("disk", text, advice)
    else:
        yield ok("disk", text)
    kind = _file_system(place)
    if kind in _PASSING:
        yield warn(
            "disk",
            f"{place} is {kind}: what is stored there does not survive",
            "put the data on a volume or disk, with --data-dir",
        )


def check_address(variable: str, listen: str) -> Finding:
    """Whether an address can be listened on, or is by one of our own servers."""
    host, _, port = listen.rpartition(":")
    if listen.startswith("unix:"):
        return ok("address", f"{listen} ({variable})")
    if not host or not port.isdecimal() or int(port) > 65535:
        return fail("address", f"{listen!r} is no address", f"set {variable} to host:port")
    try:
        _try_to_listen(host.strip("[]"), int(port))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            return fail(
                "address",
                f"cannot listen on {listen}: {error.strerror or error}",
                f"set {variable} to an address of this machine and a port above 1023",
            )
        return _taken(variable, listen, int(port))
    return ok("address", f"{listen} is free ({variable})")


def check_addresses(servers: dict[str, ServerSettings]) -> Iterator[Finding]:
    """All addresses of the servers, given by name."""
    for name, settings in servers.items():
        prefix = f"FACEPASS_{name.upper()}__"
        yield check_address(f"{prefix}LISTEN", settings.listen)
        if settings.metrics_listen:
            yield check_address(f"{prefix}METRICS_LISTEN", settings.metrics_listen)


def _try_to_listen(host: str, port: int) -> None:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    with socket.socket(family, kind, protocol) as probe:
        # Sockets of a server that has just ended do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
        probe.listen(1)


def _taken(variable: str, listen: str, port: int) -> Finding:
    holder = _listener(port)
    if holder and any(program in part for part in holder[:4] for program in _OUR_PROGRAMS):
        return ok("address", f"{listen} is in use by FacePass itself ({variable})")
    by = f" by {' '.join(holder)[:80]!r}" if holder else ""
    return fail("address", f"{listen} is taken{by}", f"end that program, or set {variable}")


def _listener(port: int) -> list[str]:
    """The command line of whoever listens on a port; empty where that cannot be seen."""
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status != psutil.CONN_LISTEN or not connection.laddr:
                continue
            if connection.laddr.port == port and connection.pid:
                return list(psutil.Process(connection.pid).cmdline())
    except psutil.Error:
        pass
    return []


def _file_system(place: Path) -> str:
    """The kind of file system a folder is on, as far as the system tells."""
    resolved = place.resolve()
    mounts = {Path(each.mountpoint): each.fstype for each in psutil.disk_partitions(all=True)}
    return next((mounts[each] for each in (resolved, *resolved.parents) if each in mounts), "")
