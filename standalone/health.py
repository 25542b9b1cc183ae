"""The command `facepass-server health`: a server's own word, as an exit code."""

import argparse

from common.config import CommonSettings
from common.errors import SetupError
from indexer.config import IndexerSettings
from searcher.config import SearcherSettings
from standalone.config import read_settings

HELP = """\
Ask a server of this machine how it is, where FACEPASS_INDEXER__LISTEN or FACEPASS_SEARCHER__LISTEN
says that it listens; without a name, whichever of them runs. Without --live: whether calls would
succeed, with the database there and the workers ready. With --live: whether the process lives,
which is what to restart it by. FACEPASS_TLS__* must be as the server has them; where it asks for
client certificates, its own is shown."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add its options, and what runs it."""
    parser.add_argument("server", nargs="?", choices=("indexer", "searcher"), help="which one")
    parser.add_argument("--live", action="store_true", help="whether the process lives")
    parser.add_argument(
        "--timeout-s", type=float, default=3.0, metavar="SECONDS", help="(default: %(default)s)"
    )
    parser.set_defaults(command=_health)


def _health(options: argparse.Namespace) -> int:
    # Not at the top: no other command needs gRPC before it knows what it is to do.
    from common.rpc.health_check import is_serving

    tls = read_settings(CommonSettings).tls
    answers = {
        name: is_serving(listen, "" if options.live else service, tls, options.timeout_s)
        for name, (listen, service) in _servers().items()
        if options.server in (None, name)
    }
    told = {name: answer for name, answer in answers.items() if answer is not None}
    if not told:
        raise SetupError(f"nobody answers as {' or '.join(answers)}")
    refusing = [name for name, serves in told.items() if not serves]
    if refusing:
        raise SetupError(f"{' and '.join(refusing)}: not serving")
    print(f"{' and '.join(told)}: serving")
    return 0


def _servers() -> dict[str, tuple[str, str]]:
    """Where each server listens, and the service to ask for."""
    return {
        "indexer": (read_settings(IndexerSettings).indexer.listen, "facepass.v1.Indexer"),
        "searcher": (read_settings(SearcherSettings).searcher.listen, "facepass.v1.Searcher"),
    }
