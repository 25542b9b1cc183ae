"""`facepass`: the parser of the whole command, and how a run of it ends."""

import argparse
import sys
from collections.abc import Sequence

from facepass import Client, FacePassError, __version__
from facepass.channel import indexer_address, searcher_address
from facepass.cli import compare, erase, event, explain, face, index, photo, search, selfie
from facepass.cli.output import complain

OK, ERROR, USAGE, INTERRUPTED = 0, 1, 2, 130

_EPILOG = """\
an evening, from the start:
  facepass event create party --display-name "Summer party"
  facepass index ~/photos --event party
  facepass search selfie.jpg --event party --html found.html

exit codes:
  0  done
  1  error; one line says what and what to do
  2  the command was used wrongly
  3  done, but some photos were rejected or failed (facepass index)
  130  stopped with Ctrl-C

The servers are started with `facepass-server standalone`.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    args = parser().parse_args(argv)
    try:
        with Client(indexer=args.indexer, searcher=args.searcher) as client:
            code: int = args.run(client, args)
            return code
    except FacePassError as error:
        complain(explain.failure(error, _address(args)))
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has left: nobody to tell
    except OSError as error:
        complain(f"{error.filename or 'input'}: {error.strerror or error}")
    except ValueError as error:
        complain(str(error))
        return USAGE
    except KeyboardInterrupt:
        return INTERRUPTED
    return ERROR


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command."""
    made = argparse.ArgumentParser(
        prog="facepass",
        description="Find people in the photos of an event.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--version", action="version", version=f"facepass {__version__}")
    _add_addresses(made, default=None)
    # The same options after the subcommand; SUPPRESS keeps it from undoing what stood before it.
    shared = argparse.ArgumentParser(add_help=False)
    _add_addresses(shared, default=argparse.SUPPRESS)
    commands = made.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in (event, index, search, compare, selfie, photo, face, erase):
        module.register(commands, shared)
    return made


def _add_addresses(made: argparse.ArgumentParser, default: str | None) -> None:
    group = made.add_argument_group("servers")
    group.add_argument(
        "--indexer",
        metavar="HOST:PORT",
        default=default,
        help="indexing server (FACEPASS_INDEXER_ADDRESS, or else localhost:50051)",
    )
    group.add_argument(
        "--searcher",
        metavar="HOST:PORT",
        default=default,
        help="query server (FACEPASS_SEARCHER_ADDRESS, or else localhost:50052)",
    )


def _address(args: argparse.Namespace) -> str:
    if args.server == "indexer":
        return indexer_address(args.indexer)
    return searcher_address(args.searcher)


if __name__ == "__main__":
    sys.exit(main())
