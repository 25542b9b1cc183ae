"""`facepass selfie`."""

import argparse
from pathlib import Path

from facepass import Client
from facepass.cli import words
from facepass.cli.output import print_json, say
from facepass.cli.subcommands import Subcommands


def register(commands: Subcommands, shared: argparse.ArgumentParser) -> None:
    """Add `selfie`."""
    parser = commands.add_parser(
        "selfie",
        parents=[shared],
        help="say whether a selfie is good enough to search with",
        description="Say whether a selfie is good enough to search with, and how to do better.",
    )
    parser.set_defaults(run=run, server="searcher")
    parser.add_argument("file", metavar="FILE", type=Path, help="the image")
    parser.add_argument("--json", action="store_true", help="print the whole answer as JSON")


def run(client: Client, args: argparse.Namespace) -> int:
    """Evaluate and give advice."""
    answer = client.evaluate_selfie(args.file)
    if args.json:
        print_json(answer)
        return 0
    advice = words.advice(answer.probe.advice)
    if not answer.usable:
        say("Not usable.")
    elif advice:
        say("Usable, and could be better.")
    else:
        say("A good selfie.")
    for sentence in advice:
        say(f"  {sentence}")
    return 0
