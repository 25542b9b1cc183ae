"""`facepass photo`."""

import argparse

from facepass import Client
from facepass.cli import words
from facepass.cli.output import confirmed, note, print_json, say
from facepass.cli.subcommands import Subcommands
from facepass.names import photo_id, photo_name
from facepass.report import counted
from facepass.v1 import indexer_pb2, types_pb2

_STATES = {
    "all": types_pb2.PHOTO_STATE_UNSPECIFIED,
    "indexed": types_pb2.PHOTO_STATE_INDEXED,
    "rejected": types_pb2.PHOTO_STATE_REJECTED,
}


def register(commands: Subcommands, shared: argparse.ArgumentParser) -> None:
    """Add `photo` and what can be done with photos."""
    noun = commands.add_parser("photo", help="read, list and delete photos")
    actions = noun.add_subparsers(title="actions", metavar="ACTION", required=True)

    get = actions.add_parser("get", parents=[shared], help="show a photo and its faces")
    get.set_defaults(run=_get, server="indexer")
    _add_photo(get)
    get.add_argument("--json", action="store_true", help="print JSON")

    listing = actions.add_parser("list", parents=[shared], help="list an event's photos")
    listing.set_defaults(run=_list, server="indexer")
    listing.add_argument("--event", metavar="EVENT", required=True, help="id of the event")
    listing.add_argument("--state", choices=_STATES, default="all", help="which photos (all)")
    listing.add_argument("--json", action="store_true", help="print JSON")

    delete = actions.add_parser("delete", parents=[shared], help="delete a photo and its faces")
    delete.set_defaults(run=_delete, server="indexer")
    _add_photo(delete)
    delete.add_argument("--yes", action="store_true", help="do not ask")
    delete.add_argument("--dry-run", action="store_true", help="only count what would go")


def _add_photo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "photo", metavar="PHOTO", help="events/EVENT/photos/PHOTO, or its id with --event"
    )
    parser.add_argument("--event", metavar="EVENT", default="", help="id of the event")


def _name(args: argparse.Namespace) -> str:
    if not args.event and not args.photo.startswith("events/"):
        raise ValueError("say which event with --event, or give events/EVENT/photos/PHOTO")
    return photo_name(args.event, args.photo)


def _get(client: Client, args: argparse.Namespace) -> int:
    photo = client.get_photo(args.event, _name(args))
    if args.json:
        print_json(photo)
        return 0
    for label, text in (
        ("photo", photo.name),
        ("file", photo.file_name),
        ("source", photo.source_uri),
        ("size", f"{photo.width} x {photo.height}" if photo.width else ""),
        ("rejected", photo.rejection_reason),
    ):
        if text:
            say(f"{label:<9} {text}")
    for face in photo.faces:
        say(f"face      {face.name}  {_measured(face.detected)}")
    for left_out in photo.unindexed_faces:
        reasons = words.face_reasons(left_out.reasons)
        say(f"left out  {_measured(left_out)}  {reasons}")
    return 0


def _measured(face: types_pb2.DetectedFace) -> str:
    box = face.box
    where = f"{box.width:.0f} x {box.height:.0f} px at ({box.x:.0f}, {box.y:.0f})"
    return f"{where}, quality {face.quality.score:.2f}"


def _list(client: Client, args: argparse.Namespace) -> int:
    photos = client.list_photos(args.event, state=_STATES[args.state])
    if args.json:
        print_json(indexer_pb2.ListPhotosResponse(photos=photos))
        return 0
    for photo in photos:
        found = photo.rejection_reason or counted(len(photo.faces), "face")
        say(f"{photo_id(photo.name)}  {found}")
    return 0


def _delete(client: Client, args: argparse.Namespace) -> int:
    name = _name(args)
    faces = counted(client.delete_photo(args.event, name, validate_only=True).faces, "face")
    if args.dry_run:
        say(f"Would delete {name} with {faces}.")
        return 0
    if not confirmed(f"Delete {name} with {faces}?", yes=args.yes):
        note("Nothing was deleted.")
        return 1
    gone = client.delete_photo(args.event, name)
    say(f"Deleted {name} with {counted(gone.faces, 'face')}.")
    return 0
