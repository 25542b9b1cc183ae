"""`facepass event`."""

import argparse
from typing import cast

from facepass import Client, EventFields
from facepass.channel import indexer_address
from facepass.cli import optimize, values
from facepass.cli.output import confirmed, note, print_json, say
from facepass.cli.subcommands import Subcommands
from facepass.report import counted
from facepass.v1 import events_pb2

_FIELDS = tuple(EventFields.__annotations__)


def register(commands: Subcommands, shared: argparse.ArgumentParser) -> None:
    """Add `event` and what can be done with events."""
    noun = commands.add_parser("event", help="create, list, read, change and delete events")
    actions = noun.add_subparsers(title="actions", metavar="ACTION", required=True)

    create = actions.add_parser("create", parents=[shared], help="create an event")
    create.set_defaults(run=_create, server="indexer")
    _add_fields(create)

    listing = actions.add_parser("list", parents=[shared], help="list all events")
    listing.set_defaults(run=_list, server="indexer")
    listing.add_argument("--json", action="store_true", help="print JSON")

    get = actions.add_parser("get", parents=[shared], help="show one event")
    get.set_defaults(run=_get, server="indexer")
    get.add_argument("event", metavar="EVENT", help="id of the event")
    get.add_argument("--json", action="store_true", help="print JSON")

    update = actions.add_parser("update", parents=[shared], help="change an event")
    update.set_defaults(run=_update, server="indexer")
    update.add_argument("--etag", default="", help="only if nobody changed it since this etag")
    _add_fields(update)

    optimize.register(actions, shared)

    delete = actions.add_parser(
        "delete", parents=[shared], help="delete an event with its photos and faces"
    )
    delete.set_defaults(run=_delete, server="indexer")
    delete.add_argument("event", metavar="EVENT", help="id of the event")
    delete.add_argument("--yes", action="store_true", help="do not ask")
    delete.add_argument("--dry-run", action="store_true", help="only count what would go")


def _add_fields(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("event", metavar="EVENT", help="id: 1 to 63 of a-z, 0-9 and -")
    parser.add_argument("--display-name", metavar="TEXT", help="name for people")
    parser.add_argument("--location", metavar="TEXT", help="where it takes place")
    parser.add_argument("--start-time", metavar="TIME", type=values.time, help="2026-07-01T18:00")
    lifetime = parser.add_mutually_exclusive_group()
    lifetime.add_argument(
        "--ttl", metavar="TIME", type=values.duration, help="delete it after 12h, 30d, 8w ..."
    )
    lifetime.add_argument(
        "--expire-time", metavar="TIME", type=values.time, help="delete it at this time"
    )
    parser.add_argument(
        "--quality-filter", choices=values.QUALITIES, help="which faces to index (auto)"
    )
    parser.add_argument("--detail", choices=values.DETAILS, help="how closely to look (standard)")
    parser.add_argument(
        "--min-similarity",
        metavar="X",
        type=values.similarity,
        help="lowest similarity that searches answer with (the pack's own)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def _fields(args: argparse.Namespace) -> EventFields:
    given = {name: value for name in _FIELDS if (value := getattr(args, name)) is not None}
    if "quality_filter" in given:
        given["quality_filter"] = values.QUALITIES[args.quality_filter]
    if "detail" in given:
        given["detail"] = values.DETAILS[args.detail]
    return cast(EventFields, given)


def _create(client: Client, args: argparse.Namespace) -> int:
    _show(client.create_event(args.event, **_fields(args)), args)
    if not args.json:
        note(f"Next: facepass index FOLDER --event {args.event}")
    return 0


def _get(client: Client, args: argparse.Namespace) -> int:
    _show(client.get_event(args.event), args)
    return 0


def _update(client: Client, args: argparse.Namespace) -> int:
    _show(client.update_event(args.event, etag=args.etag, **_fields(args)), args)
    return 0


def _list(client: Client, args: argparse.Namespace) -> int:
    events = list(client.list_events())
    if args.json:
        print_json(events_pb2.ListEventsResponse(events=events))
        return 0
    for event in events:
        counts = event.counts
        name = event.name.removeprefix("events/")
        photos, faces = counted(counts.photos_indexed, "photo"), counted(counts.faces, "face")
        say(f"{name:<24} {photos:>14} {faces:>14}  {event.display_name}".rstrip())
    if not events:
        note(f"No events at {indexer_address(args.indexer)}.")
        note("`facepass event create EVENT` makes one.")
    return 0


def _delete(client: Client, args: argparse.Namespace) -> int:
    would = client.delete_event(args.event, validate_only=True)
    what = f"{counted(would.photos, 'photo')} and {counted(would.faces, 'face')}"
    if args.dry_run:
        say(f"Would delete event {args.event} with {what}.")
        return 0
    if not confirmed(f"Delete event {args.event} with {what}?", yes=args.yes):
        note("Nothing was deleted.")
        return 1
    gone = client.delete_event(args.event)
    photos, faces = counted(gone.photos, "photo"), counted(gone.faces, "face")
    say(f"Deleted event {args.event} with {photos} and {faces}.")
    return 0


def _show(event: events_pb2.Event, args: argparse.Namespace) -> None:
    if args.json:
        print_json(event)
        return
    counts = event.counts
    rows = [
        ("event", event.name.removeprefix("events/")),
        ("name", event.display_name),
        ("location", event.location),
        ("starts", _time(event, "start_time")),
        ("expires", _time(event, "expire_time")),
        ("photos", _photos(counts)),
        ("faces", f"{counts.faces:,}"),
        ("pack", event.pack),
        ("index", optimize.index_in_words(event.index)),
        ("etag", event.etag),
        ("uid", event.uid),
    ]
    for label, text in rows:
        if text:
            say(f"{label:<9} {text}")


def _time(event: events_pb2.Event, field: str) -> str:
    if not event.HasField(field):
        return ""
    text: str = getattr(event, field).ToJsonString()
    return text


def _photos(counts: events_pb2.EventCounts) -> str:
    text = f"{counts.photos_indexed:,} indexed"
    if counts.photos_rejected:
        text += f", {counts.photos_rejected:,} rejected"
    if counts.photos_pending:
        text += f", {counts.photos_pending:,} being worked on"
    return text
