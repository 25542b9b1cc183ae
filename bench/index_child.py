"""Processes that take orders: one line of JSON in, one line of JSON out."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any

from bench.ground import ROOT

_STOP_TIMEOUT_S = 30


class Child:
    """The process, from the side of whoever started it."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def ask(self, **order: object) -> dict[str, Any]:
        """Give an order and wait for its answer."""
        self.send(**order)
        return self.receive()

    def send(self, **order: object) -> None:
        """Give an order."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def receive(self) -> dict[str, Any]:
        """Wait for the next answer. Raises RuntimeError when the process has ended."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(
                f"a process ended with {self._process.wait()}: {self._process.args!r}"
            )
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def child(module: str, *arguments: str) -> Iterator[Child]:
    """Run a module as a process that takes orders."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Child(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def own_output() -> IO[str]:
    """The standard output, kept for answers: what libraries print goes to nowhere."""
    ours = os.fdopen(os.dup(1), "w")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    return ours


def tell(output: IO[str], answer: object) -> None:
    """Answer one line."""
    output.write(json.dumps(answer) + "\n")
    output.flush()


def serve_orders(
    output: IO[str], answer: Callable[[dict[str, Any]], object], orders: IO[str] = sys.stdin
) -> None:
    """Answer orders until there are no more."""
    for line in orders:
        tell(output, answer(json.loads(line)))
