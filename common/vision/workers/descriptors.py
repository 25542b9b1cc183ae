"""Descriptors, sent from process to process over a Unix socket."""

import os
import socket
from typing import Protocol


class HasDescriptor(Protocol):
    """Anything open."""

    def fileno(self) -> int: ...


def send_descriptor(over: HasDescriptor, descriptor: HasDescriptor) -> None:
    """Give a copy of a descriptor to the process at the other end."""
    with _socket(over) as line:
        socket.send_fds(line, [b"\0"], [descriptor.fileno()])


def receive_descriptor(over: HasDescriptor) -> int:
    """Take one that was sent. Raises EOFError if the other end was closed before."""
    with _socket(over) as line:
        data, descriptors, _, _ = socket.recv_fds(line, 1, 1)
    if not data:
        raise EOFError
    return descriptors[0]


def _socket(line: HasDescriptor) -> socket.socket:
    return socket.socket(fileno=os.dup(line.fileno()))
