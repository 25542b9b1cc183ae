"""`facepass erase` and `facepass erasures`."""

import argparse

from google.longrunning import operations_pb2

from facepass import Client
from facepass.cli.output import confirmed, note, print_json, say
from facepass.cli.probe import face_name_or_file
from facepass.cli.subcommands import Subcommands
from facepass.cli.values import duration, index_from_0, similarity
from facepass.report import counted
from facepass.v1 import erasures_pb2

_KINDS = {
    erasures_pb2.ERASURE_KIND_PHOTO: "photo",
    erasures_pb2.ERASURE_KIND_FACE: "face",
    erasures_pb2.ERASURE_KIND_EVENT: "event",
    erasures_pb2.ERASURE_KIND_PERSON: "person",
    erasures_pb2.ERASURE_KIND_EXPIRY: "expiry",
}


def register(commands: Subcommands, shared: argparse.ArgumentParser) -> None:
    """Add `erase` and `erasures`."""
    _register_erase(commands, shared)
    receipts = commands.add_parser(
        "erasures", parents=[shared], help="show receipts of what was erased"
    )
    receipts.set_defaults(run=_receipts, server="indexer")
    receipts.add_argument(
        "name", metavar="NAME", nargs="?", default="", help="erasures/ERASURE; all without it"
    )
    receipts.add_argument("--event", metavar="EVENT", default="", help="only this event's")
    receipts.add_argument("--json", action="store_true", help="print JSON")


def _register_erase(commands: Subcommands, shared: argparse.ArgumentParser) -> None:
    parser = commands.add_parser(
        "erase",
        parents=[shared],
        help="erase a person's faces from an event, for good",
        description="Erase every face of a person from an event. The photos stay.",
    )
    parser.set_defaults(run=_erase, server="indexer")
    parser.add_argument(
        "sample",
        metavar="SELFIE|FACE",
        type=face_name_or_file,
        help="image, or events/EVENT/photos/PHOTO/faces/FACE",
    )
    parser.add_argument("--event", metavar="EVENT", required=True, help="id of the event")
    parser.add_argument(
        "--face-index", metavar="N", type=index_from_0, help="which face of the image (0: largest)"
    )
    parser.add_argument(
        "--min-similarity", metavar="S", type=similarity, help="default: confident matches only"
    )
    parser.add_argument(
        "--suppress",
        metavar="TIME",
        type=duration,
        help="also leave the person out of photos that come within this time, such as 30d; a "
        "template of the person is kept for it",
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--dry-run", action="store_true", help="only show what would go")
    parser.add_argument("--wait", action="store_true", help="wait until no file has it")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _erase(client: Client, args: argparse.Namespace) -> int:
    sample = args.sample
    options = {"face_index": args.face_index, "min_similarity": args.min_similarity}
    would = erasures_pb2.ErasePersonResponse()
    client.erase_person(args.event, sample, validate_only=True, **options).response.Unpack(would)
    what = f"{counted(len(would.faces), 'face')} from event {args.event}"
    if args.dry_run:
        _preview(would, args, what)
        return 0
    if not confirmed(f"Erase {what}?", yes=args.yes):
        note("Nothing was erased.")
        return 1
    operation = client.erase_person(args.event, sample, suppress=args.suppress, **options)
    if args.wait:
        operation = client.wait_operation(operation.name)
    erasure = _erasure(operation)
    if args.json:
        print_json(erasure)
        return 0
    say(f"Erased {counted(erasure.faces, 'face')} from event {args.event}.")
    _show(erasure)
    return 0


def _preview(would: erasures_pb2.ErasePersonResponse, args: argparse.Namespace, what: str) -> None:
    if args.json:
        print_json(would)
        return
    say(f"Would erase {what}.")
    for face in would.faces:
        say(f"  {face.similarity:.4f}  {face.face}")


def _erasure(operation: operations_pb2.Operation) -> erasures_pb2.Erasure:
    told = erasures_pb2.ErasePersonMetadata()
    operation.metadata.Unpack(told)
    return told.erasure


def _receipts(client: Client, args: argparse.Namespace) -> int:
    if args.name:
        erasure = client.get_erasure(args.name)
        print_json(erasure) if args.json else _show(erasure)
        return 0
    found = list(client.list_erasures(args.event))
    if args.json:
        print_json(erasures_pb2.ListErasuresResponse(erasures=found))
        return 0
    for erasure in found:
        kind = _KINDS.get(erasure.kind, "other")
        event = erasure.event.removeprefix("events/")
        state = "gone" if erasure.HasField("physical_time") else "being overwritten"
        say(f"{erasure.name}  {kind:<6}  {event}  {counted(erasure.faces, 'face')}  {state}")
    if not found:
        note("No receipts.")
    return 0


def _show(erasure: erasures_pb2.Erasure) -> None:
    rows = [
        ("receipt", erasure.name),
        ("kind", _KINDS.get(erasure.kind, "other")),
        ("event", erasure.event.removeprefix("events/")),
        ("photos", f"{erasure.photos:,}"),
        ("faces", f"{erasure.faces:,}"),
        ("digest", erasure.digest.hex()),
        ("by", erasure.subject),
        ("erased", _time(erasure, "create_time")),
        ("searches", _time(erasure, "live_time") or "not confirmed by every Searcher yet"),
        ("files", _time(erasure, "physical_time") or "being overwritten"),
        ("backups", _time(erasure, "backup_time") or "not known yet"),
        ("left out", _time(erasure, "suppress_until")),
    ]
    for label, text in rows:
        if text:
            say(f"{label:<9} {text}")


def _time(erasure: erasures_pb2.Erasure, field: str) -> str:
    if not erasure.HasField(field):
        return ""
    text: str = getattr(erasure, field).ToJsonString()
    return text
