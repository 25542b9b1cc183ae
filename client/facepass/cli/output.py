"""What the command says, and what it asks."""

import json
import sys
from collections.abc import Callable

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message


def say(text: str = "") -> None:
    """Print a line of the result."""
    print(shown(text), flush=True)


def note(text: str) -> None:
    """Print a line that is not part of the result."""
    print(shown(text), file=sys.stderr, flush=True)


def complain(text: str) -> None:
    """Print an error."""
    note(f"facepass: {text}")


def shown(text: str) -> str:
    """Replace what a terminal would obey: names come from files and from other people."""
    return "".join(char if char.isprintable() or char == "\n" else "\ufffd" for char in text)


def print_json(value: object) -> None:
    """Print one JSON object; a message by its field names (64-bit numbers are strings there)."""
    if isinstance(value, Message):
        value = MessageToDict(value, preserving_proto_field_name=True)
    print(json.dumps(value, indent=2, ensure_ascii=True), flush=True)


def confirmed(question: str, *, yes: bool, ask: Callable[[str], str] = input) -> bool:
    """Ask before something is deleted. Raises ValueError where nobody can answer."""
    if yes:
        return True
    if not sys.stdin.isatty():
        raise ValueError("add --yes to delete without being asked")
    return ask(shown(f"{question} [y/N] ")).strip().lower() in ("y", "yes")
