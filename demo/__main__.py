"""`python -m demo`: FacePass end to end on a real event, in under a minute."""

import argparse
import signal
import sys
import time
from pathlib import Path
from typing import NoReturn

import facepass

from demo import report
from demo.album import Album, NothingToShow, own_album, staged_album
from demo.search import index, search
from demo.server import ServerFailed, standalone

OUT = Path(__file__).with_name("out")


def main() -> int:
    """Run the demo; 0 when it ran through, 1 when something failed, 130 when interrupted."""
    options = _parser().parse_args()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        run(options.out.absolute(), options.photos, options.selfie)
    except (NothingToShow, ServerFailed, facepass.FacePassError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: interrupted; everything is stopped", file=sys.stderr)
        return 130
    return 0


def run(out: Path, photos: Path | None, selfies: list[Path]) -> None:
    """Index, search and show. Raises NothingToShow, ServerFailed, facepass.FacePassError."""
    start = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    album = _album(out, photos, selfies)
    _say("Starting Postgres, the Indexer and the Searcher ...")
    with standalone() as running:
        _say(f"Running with {running.engine}.")
        with facepass.Client(indexer=running.indexer, searcher=running.searcher) as client:
            indexed = index(client, album)
            outcomes = search(client, album.guests)
    for name, reason in indexed.rejected:
        _say(f"Not indexed: {name}: {reason}")
    page = out / "index.html"
    report.gallery(outcomes, indexed, running.engine, page)
    print(f"\n{report.table(outcomes)}\n\nLook at them: {page.as_uri()}")
    print(report.summary(outcomes, indexed, running.engine, time.monotonic() - start))


def _album(out: Path, photos: Path | None, selfies: list[Path]) -> Album:
    if photos is not None:
        return own_album(photos.absolute(), [selfie.absolute() for selfie in selfies])
    if selfies:
        raise NothingToShow("SELFIE is given without PHOTOS: say which photos to look in")
    _say("Staging the event's photos ...")
    return staged_album(out)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--photos", type=Path, metavar="FOLDER", help="your own photos")
    parser.add_argument(
        "--selfie",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="whom to look for in them: a photo, or a folder of one photo a guest; may be repeated",
    )
    parser.add_argument(
        "--out", type=Path, default=OUT, metavar="FOLDER", help="default: %(default)s"
    )
    return parser


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
