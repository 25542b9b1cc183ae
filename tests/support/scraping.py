"""A real Prometheus that scrapes a standalone each second, and what it is asked."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import quote
from urllib.request import urlopen

from patience import PATIENCE_S
from server_process import free_ports

CONFIG = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [{rules}]
scrape_configs:
  - job_name: facepass-indexer
    static_configs: [{{targets: ["{indexer}"]}}]
  - job_name: facepass-searcher
    static_configs: [{{targets: ["{searcher}"]}}]
"""


class Prometheus:
    """One that runs."""

    def __init__(self, address: str) -> None:
        self._address = address

    def ask(self, path: str) -> Any:
        """What its API answers, less the envelope. Raises URLError, also for a wrong query."""
        with urlopen(f"http://{self._address}/api/v1/{path}", timeout=20) as answer:
            return json.load(answer)["data"]

    def query(self, expression: str) -> list[Any]:
        """The series that an expression has now."""
        found: list[Any] = self.ask(f"query?query={quote(expression)}")["result"]
        return found

    def await_targets(self, count: int) -> None:
        """Wait until so many servers were scraped."""
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                if len(self.query("up == 1")) == count:
                    return
            except URLError:
                pass
            assert time.monotonic() < until, "not scraped"
            time.sleep(0.2)


@contextmanager
def prometheus(folder: Path, rules: Path, indexer: str, searcher: str) -> Iterator[Prometheus]:
    """Run one for as long as the context lasts.

    rules: file of alerts. indexer, searcher: `host:port` of their metrics.
    """
    binary = shutil.which("prometheus")
    assert binary is not None
    config = folder / "prometheus.yml"
    config.write_text(CONFIG.format(rules=rules, indexer=indexer, searcher=searcher))
    (port,) = free_ports(1)
    command = [binary, f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"]
    command += [f"--web.listen-address=127.0.0.1:{port}"]
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        yield Prometheus(f"127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
