"""`facepass`: the parser of the whole command, and how a run of it ends."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from facepass import Client, FacePassError, Security, __version__
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


_FILES = {
    "--token-file": "token to call with (FACEPASS_TOKEN_FILE)",
    "--ca-file": "authorities of the servers' certificates, which are then asked for "
    "(FACEPASS_CA_FILE)",
    "--client-certificate": "certificate to show (FACEPASS_CLIENT_CERTIFICATE)",
    "--client-key": "its private key (FACEPASS_CLIENT_KEY)",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    args = parser().parse_args(argv)
    try:
        with Client(indexer=args.indexer, searcher=args.searcher, **_security(args)) as client:
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
    _add_servers(made, default=None)
    # The same options after the subcommand; SUPPRESS keeps it from undoing what stood before it.
    shared = argparse.ArgumentParser(add_help=False)
    _add_servers(shared, default=argparse.SUPPRESS)
    commands = made.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in (event, index, search, compare, selfie, photo, face, erase):
        module.register(commands, shared)
    return made


def _add_servers(made: argparse.ArgumentParser, default: str | None) -> None:
    group = made.add_argument_group("servers")
    group.add_argument(
        "--indexer",
        metavar="HOST:PORT",
        default=default,
        help="indexing server, or several: A,B or dns:///NAME:PORT (FACEPASS_INDEXER_ADDRESS, or "
        "else localhost:50051)",
    )
    group.add_argument(
        "--searcher",
        metavar="HOST:PORT",
        default=default,
        help="query server, likewise (FACEPASS_SEARCHER_ADDRESS, or else localhost:50052)",
    )

    for flag, what in _FILES.items():
        group.add_argument(flag, type=Path, metavar="FILE", default=default, help=what)
    for flag, what in (
        ("--tls", "encrypt; the server's certificate must be of a well-known authority"),
        ("--plaintext-token", "send the token to another machine without encryption"),
    ):
        group.add_argument(flag, action="store_true", default=default or False, help=what)


def _security(args: argparse.Namespace) -> Security:
    found = Security(tls=args.tls, plaintext_token=args.plaintext_token)
    if args.token_file is not None:
        found["token"] = args.token_file
    if args.ca_file is not None:
        found["ca_file"] = args.ca_file
    if args.client_certificate is not None:
        found["client_certificate"] = args.client_certificate
    if args.client_key is not None:
        found["client_key"] = args.client_key
    return found


def _address(args: argparse.Namespace) -> str:
    if args.server == "indexer":
        return indexer_address(args.indexer)
    return searcher_address(args.searcher)


if __name__ == "__main__":
    sys.exit(main())
