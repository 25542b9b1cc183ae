"""`facepass search`."""

import argparse
from pathlib import Path
from urllib.parse import unquote, urlsplit

from facepass import Client, ProbeLike
from facepass.cli import values, words
from facepass.cli.output import note, print_json, say
from facepass.cli.probe import face_name_or_file, with_face_index
from facepass.cli.subcommands import Subcommands
from facepass.names import event_id, event_name, photo_id
from facepass.report import FoundPhoto, GuestReport, counted, coverage_line, render
from facepass.v1 import searcher_pb2

_EPILOG = """\
examples:
  facepass search selfie.jpg --event party
  facepass search front.jpg side.jpg --event party          two selfies of the same person
  facepass search selfie.jpg --event party --html found.html
  facepass search selfie.jpg --event party --max-false-matches 0.1
  facepass search --face events/party/photos/a.jpg/faces/1  everyone who looks like this face
  facepass search selfie.jpg --event party --json | jq -r '.matches[].source_uri'

No match is an answer, not an error: the exit code is 0.
"""


def register(commands: Subcommands, shared: argparse.ArgumentParser) -> None:
    """Add `search`."""
    parser = commands.add_parser(
        "search",
        parents=[shared],
        help="find a person's photos in an event",
        description="Find all photos of one event that show the person of a selfie.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run, server="searcher")
    parser.add_argument(
        "selfies", metavar="SELFIE", nargs="*", type=Path, help="up to 8 images of one person"
    )
    parser.add_argument("--face", metavar="NAME", help="search with an indexed face")
    parser.add_argument("--event", metavar="EVENT", help="where to search (that of --face)")
    threshold = parser.add_mutually_exclusive_group()
    threshold.add_argument(
        "--min-similarity",
        metavar="X",
        type=values.similarity,
        help="lowest similarity to answer with, above 0 and at most 1 (the event's setting)",
    )
    threshold.add_argument(
        "--max-false-matches",
        metavar="X",
        type=values.above_0,
        help="most strangers to expect among the matches: 0.1 is one in ten searches",
    )
    parser.add_argument(
        "--exact", action="store_true", help="compare every face, however large the event is"
    )
    parser.add_argument(
        "--face-index",
        metavar="N",
        type=values.index_from_0,
        help="which face of the selfie, 0 is the largest (0)",
    )
    parser.add_argument("--limit", metavar="N", type=values.positive, help="most matches (all)")
    parser.add_argument("--html", metavar="FILE", type=Path, help="write a gallery to look at")
    parser.add_argument("--json", action="store_true", help="print the whole answer as JSON")


def run(client: Client, args: argparse.Namespace) -> int:
    """Search and show what was found."""
    names, probes = _probes(args)
    event = args.event or (args.face.split("/")[1] if args.face else None)
    if event is None:
        raise ValueError("say where to search with --event")
    answer = client.search(
        event,
        *probes,
        min_similarity=args.min_similarity,
        max_expected_false_matches=args.max_false_matches,
        exact=args.exact,
        limit=args.limit,
    )
    if args.json:
        print_json(answer)
    else:
        _show(answer, event_id(event), names)
    if args.html is not None:
        args.html.write_text(_page(answer, event_name(event), args), encoding="utf-8")
        note(f"Wrote {args.html}")
    return 0


def _probes(args: argparse.Namespace) -> tuple[list[str], list[ProbeLike]]:
    if bool(args.selfies) == bool(args.face):
        raise ValueError("give a SELFIE or --face NAME")
    if args.face:
        return [args.face], [face_name_or_file(args.face)]
    if args.face_index is not None and len(args.selfies) > 1:
        raise ValueError("--face-index goes with one SELFIE")
    probes = [with_face_index(selfie, args.face_index) for selfie in args.selfies]
    return [str(selfie) for selfie in args.selfies], probes


def _show(answer: searcher_pb2.SearchResponse, event: str, names: list[str]) -> None:
    for name, result in zip(names, answer.probes, strict=True):
        for line in words.probe_lines(name, result):
            note(line)
    usable = any(result.usable for result in answer.probes)
    if usable:
        shown = len(answer.matches)
        first = f", the {shown:,} most similar" if shown < answer.total_matches else ""
        say(f"Found {counted(answer.total_matches, 'photo')} in {event}{first}.")
    width = max((len(_where(match)) for match in answer.matches), default=0)
    for match in answer.matches:
        row = f"{match.similarity:.2f}  {words.tier(match.tier):<9}  {_where(match):<{width}}"
        say(f"  {row}  {_source(match)}".rstrip())
    if usable:
        for line in words.answer_lines(answer):
            note(line)
        note(coverage_line(answer.coverage))


def _where(match: searcher_pb2.Match) -> str:
    return match.file_name or photo_id(match.photo)


def _source(match: searcher_pb2.Match) -> str:
    """Return where the photo is kept; a file as a path that can be pasted."""
    uri = urlsplit(match.source_uri)
    return unquote(uri.path) if uri.scheme == "file" and not uri.netloc else match.source_uri


def _page(answer: searcher_pb2.SearchResponse, event: str, args: argparse.Namespace) -> str:
    names = [selfie.name for selfie in args.selfies] or [args.face]
    notes = [
        line
        for name, result in zip(names, answer.probes, strict=True)
        for line in words.probe_lines(name, result, choosable=False)
    ]
    guest = GuestReport(
        name="Found with " + " and ".join(names),
        selfie=args.selfies[0].absolute().as_uri() if args.selfies else "",
        photos=[FoundPhoto.from_match(match) for match in answer.matches],
        note=" ".join(line.strip() for line in notes),
    )
    return render([guest], title=event_id(event), coverage=answer.coverage)
