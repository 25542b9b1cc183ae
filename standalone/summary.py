"""What a started server tells the person and the scripts that started it."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Self

from common.config import ServerSettings
from common.rpc.server import RunningServer
from common.vision.types import Pack
from standalone.ready_file import kept


@dataclass(frozen=True, slots=True)
class Address:
    """Where one server listens: `host:port`, with the port that was really taken."""

    server: str
    grpc: str
    metrics: str | None


@dataclass(frozen=True, slots=True)
class Summary:
    """What runs, where, on what. entrance: how callers come in."""

    data: str
    entrance: str
    pack: Pack
    addresses: tuple[Address, ...]

    @classmethod
    def of(
        cls,
        data: str,
        entrance: str,
        pack: Pack,
        servers: Mapping[str, tuple[ServerSettings, RunningServer]],
    ) -> Self:
        """Describe running servers, given by name."""
        return cls(
            data,
            entrance,
            pack,
            tuple(
                Address(
                    name,
                    _with_port(settings.listen, running.port),
                    _with_port(settings.metrics_listen, running.metrics_port)
                    if running.metrics_port is not None
                    else None,
                )
                for name, (settings, running) in servers.items()
            ),
        )

    def text(self) -> str:
        """Some lines for a person; the last one begins with `Ready`."""
        lines = [f"FacePass {version('facepass-server')}"]
        for each in self.addresses:
            metrics = f"  (metrics: http://{each.metrics}/metrics)" if each.metrics else ""
            lines.append(f"  {each.server.capitalize():9} {each.grpc}{metrics}")
        lines.append(f"  Data      {self.data}")
        lines.append(f"  Callers   {self.entrance}")
        pack = self.pack
        lines.append(f"  Engine    {pack.engine}, pack {pack.key}, {pack.dimension} dimensions")
        lines.append(f"  Licence   {pack.licence}")
        if not pack.commercial_use:
            lines.append("            These models are not licensed for commercial use.")
        lines.append("Ready. Ctrl-C stops it.")
        return "\n".join(lines)

    def json(self) -> str:
        """The same for scripts: process id, addresses by server, pack."""
        return json.dumps(
            {
                "pid": os.getpid(),
                **{each.server: each.grpc for each in self.addresses},
                **{f"{each.server}_metrics": each.metrics for each in self.addresses},
                "engine": self.pack.engine,
                "pack": self.pack.key,
            }
        )


@contextmanager
def announce(summary: Summary, ready_file: Path | None) -> Iterator[None]:
    """Print the summary, and have the ready file there for as long as the context lasts."""
    print(summary.text(), flush=True)
    with kept(summary.json(), ready_file):
        yield


def _with_port(listen: str, port: int) -> str:
    return f"{listen.rpartition(':')[0]}:{port}"
