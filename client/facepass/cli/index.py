"""`facepass index`."""

import argparse
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from facepass import Client, Folder, IndexOptions, NotFound, PhotoSource, folder
from facepass.cli import values
from facepass.cli.output import note
from facepass.cli.progress import Progress
from facepass.cli.subcommands import Subcommands
from facepass.cli.tally import Tally
from facepass.names import event_id, photo_id
from facepass.v1 import types_pb2

SOME_NOT_INDEXED, INTERRUPTED = 3, 130

_EPILOG = """\
examples:
  facepass index ~/photos --event party --create
  facepass index ~/photos --event party --detail high      small faces of large groups
  facepass index ~/photos --event party --json | jq .rejected

The command can be stopped and run again at any time: what is indexed already is skipped. Photos
are known by their path below FOLDER, so give the same folder again.

exit code 3: some photos were rejected or failed; the summary says which and why.
"""


def register(commands: Subcommands, shared: argparse.ArgumentParser) -> None:
    """Add `index`."""
    parser = commands.add_parser(
        "index",
        parents=[shared],
        help="index the photos of a folder",
        description="Index the JPEG, PNG and WebP photos of a folder and its subfolders.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run, server="indexer")
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="the folder")
    parser.add_argument("--event", metavar="EVENT", required=True, help="where to index them")
    parser.add_argument("--create", action="store_true", help="create the event if there is none")
    parser.add_argument(
        "--detail", choices=values.DETAILS, help="how closely to look (the event's setting)"
    )
    parser.add_argument(
        "--quality-filter", choices=values.QUALITIES, help="which faces (the event's setting)"
    )
    parser.add_argument(
        "--max-faces", metavar="N", type=values.positive, help="most faces of one photo"
    )
    parser.add_argument(
        "--replace", action="store_true", help="photos that changed take the old ones' place"
    )
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def run(client: Client, args: argparse.Namespace) -> int:
    """Index the folder; 0, 3 when some photos were not indexed, 130 when interrupted."""
    photos = folder(args.folder)
    _find_event(client, args)
    tally = Tally(event=event_id(args.event), photos=len(photos), skipped=len(photos.skipped))
    start_s = time.monotonic()
    try:
        with Progress(len(photos), quiet=args.json) as progress:
            _index(client, args, photos, tally, progress)
    except KeyboardInterrupt:
        tally.finish(time.monotonic() - start_s, as_json=args.json)
        note("Stopped. Run the same command again to go on where it was.")
        return INTERRUPTED
    except BaseException:
        if tally.done:
            tally.finish(time.monotonic() - start_s, as_json=args.json)
            note("Not finished. Run the same command again to go on where it was.")
        raise
    tally.finish(time.monotonic() - start_s, as_json=args.json)
    return SOME_NOT_INDEXED if tally.rejected or tally.failed else 0


def _find_event(client: Client, args: argparse.Namespace) -> None:
    try:
        client.get_event(args.event)
    except NotFound:
        if not args.create:
            raise
        client.create_event(args.event)
        note(f"Created event {event_id(args.event)}.")


def _index(
    client: Client, args: argparse.Namespace, photos: Folder, tally: Tally, progress: Progress
) -> None:
    known = {
        photo_id(photo.name): photo.sha256
        for photo in client.list_photos(args.event, state=types_pb2.PHOTO_STATE_INDEXED)
    }
    files = {photo.photo_id: photo.content for photo in photos}
    to_send = not_yet_indexed(photos, known, tally, progress)
    for result in client.index_photos(args.event, to_send, **_options(args)):
        tally.add(result, str(files[result.photo_id]))
        progress.advance()


def not_yet_indexed(
    photos: Folder, known: Mapping[str, bytes], tally: Tally, progress: Progress
) -> Iterator[PhotoSource]:
    """Leave out photos that the event has with the same bytes, so that they are not sent again."""
    for photo in photos:
        if photo.photo_id in known:
            try:
                photo = photo.hashed()
            except OSError:
                pass  # sending it comes to the same error, and says so
            else:
                if known[photo.photo_id] == photo.sha256:
                    tally.known += 1
                    progress.advance()
                    continue
        yield photo


def _options(args: argparse.Namespace) -> IndexOptions:
    options = IndexOptions(replace=args.replace)
    if args.detail is not None:
        options["detail"] = values.DETAILS[args.detail]
    if args.quality_filter is not None:
        options["quality_filter"] = values.QUALITIES[args.quality_filter]
    if args.max_faces is not None:
        options["max_faces"] = args.max_faces
    return options
