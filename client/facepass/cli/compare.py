"""`facepass compare`."""

import argparse

from facepass import Client
from facepass.cli import words
from facepass.cli.output import note, print_json, say
from facepass.cli.probe import face_name_or_file
from facepass.cli.subcommands import Subcommands
from facepass.v1 import searcher_pb2

_VERDICTS = {
    searcher_pb2.MATCH_TIER_CONFIDENT: "the same person",
    searcher_pb2.MATCH_TIER_POSSIBLE: "possibly the same person",
}


def register(commands: Subcommands, shared: argparse.ArgumentParser) -> None:
    """Add `compare`."""
    parser = commands.add_parser(
        "compare",
        parents=[shared],
        help="compare two faces",
        description="Compare two faces one to one; of an image its largest face is taken.",
    )
    parser.set_defaults(run=run, server="searcher")
    parser.add_argument("left", metavar="A", help="image file, or name of an indexed face")
    parser.add_argument("right", metavar="B", help="image file, or name of an indexed face")
    parser.add_argument("--json", action="store_true", help="print the whole answer as JSON")


def run(client: Client, args: argparse.Namespace) -> int:
    """Compare and say how sure it is."""
    answer = client.compare_faces(face_name_or_file(args.left), face_name_or_file(args.right))
    if args.json:
        print_json(answer)
        return 0
    for name, result in ((args.left, answer.left), (args.right, answer.right)):
        for line in words.probe_lines(name, result, choosable=False):
            note(line)
    if not answer.HasField("similarity"):
        say("These cannot be compared.")
        return 0
    say(f"{answer.similarity:.3f}: {_VERDICTS.get(answer.tier, 'different people')}")
    note(
        f"Possibly the same from {answer.min_similarity:.3f}, "
        f"the same from {answer.confident_similarity:.3f} (pack {answer.pack})."
    )
    return 0
