"""`facepass face`."""

import argparse

from facepass import Client
from facepass.cli.output import confirmed, note, say
from facepass.cli.subcommands import Subcommands


def register(commands: Subcommands, shared: argparse.ArgumentParser) -> None:
    """Add `face` and what can be done with faces."""
    noun = commands.add_parser("face", help="delete single faces")
    actions = noun.add_subparsers(title="actions", metavar="ACTION", required=True)
    delete = actions.add_parser("delete", parents=[shared], help="delete a face; its photo stays")
    delete.set_defaults(run=_delete, server="indexer")
    delete.add_argument("face", metavar="NAME", help="events/EVENT/photos/PHOTO/faces/FACE")
    delete.add_argument("--yes", action="store_true", help="do not ask")
    delete.add_argument("--dry-run", action="store_true", help="only check that it is there")


def _delete(client: Client, args: argparse.Namespace) -> int:
    client.delete_face(args.face, validate_only=True)
    if args.dry_run:
        say(f"Would delete {args.face}.")
        return 0
    if not confirmed(f"Delete {args.face}?", yes=args.yes):
        note("Nothing was deleted.")
        return 1
    client.delete_face(args.face)
    say(f"Deleted {args.face}.")
    return 0
