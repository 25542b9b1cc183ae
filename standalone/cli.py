"""The command line of `facepass-server`."""

import argparse
import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence
from importlib.metadata import version
from pathlib import Path

from common.config import CommonSettings, ServerSettings
from common.errors import FacePassError
from common.logs import configure_logs
from indexer.config import IndexerSettings
from searcher.config import SearcherSettings
from standalone import audit, health, models, processes, tokens
from standalone.backup import commands as backup
from standalone.citus import commands as citus
from standalone.config import Overrides, WrongSetting, read_settings, unknown_variables
from standalone.data_dir import default_data_dir
from standalone.stopping import until_stopped

DESCRIPTION = """\
FacePass finds a person in the photos of an event.

  facepass-server standalone   run everything on this machine; nothing else to install
  facepass-server doctor       look for what is set up wrongly, and say what to do
  facepass-server token        mint a token for development, or make a key to sign it with
  facepass-server backup       back the standalone's data up; restore and verify do what they say

On a Postgres of your own, named by FACEPASS_DATABASE__DSN:

  facepass-server migrate      bring the database up to date
  facepass-server indexer      run the server that takes photos in
  facepass-server searcher     run the server that finds people in them
  facepass-server health       ask a running server how it is
  facepass-server citus        spread events over several databases, where one is too small
"""
EPILOG = """\
Settings are FACEPASS_* variables; deploy/env.example and docs/configuration.md list them all.
Exit codes: 0 all is well; 1 something failed, the last line says what; 2 wrong usage or setting.
"""
MIGRATE = """\
Run the migrations that the database lacks, as FACEPASS_DATABASE__MIGRATION_DSN (the role that owns
the schema) or, where that is not set, as FACEPASS_DATABASE__DSN. Safe to run again. The standalone
does it by itself."""
STANDALONE = """\
Run the Indexer and the Searcher in one process, on a Postgres of its own that lives in the data
folder (or on that of FACEPASS_DATABASE__DSN). SIGTERM or Ctrl-C ends it, letting calls in flight
finish; a second one does not wait for them."""
SERVER = """\
Run one server on the Postgres of FACEPASS_DATABASE__DSN, which `facepass-server migrate` has
brought up to date. SIGTERM or Ctrl-C ends it, letting calls in flight finish; a second one does
not wait for them. With --processes, several share the address, each for the connections that the
kernel gives it; one that dies is started again."""

Command = Callable[[argparse.Namespace], int]
Commands = argparse._SubParsersAction


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code. What a person can mend is told in one line."""
    options = _parser().parse_args(arguments, argparse.Namespace(given=arguments))
    try:
        configure_logs(read_settings(CommonSettings).log.level)
        for variable in unknown_variables():
            _say(f"warning: {variable} is set, but there is no such setting")
        command: Command = options.command
        return command(options)
    except WrongSetting as error:
        _say(error.message)
        return 2
    except FacePassError as error:
        _say(error.message)
        return 1


def _say(message: str) -> None:
    print(f"facepass-server: {message}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="facepass-server",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    shown = f"facepass-server {version('facepass-server')}"
    parser.add_argument("--version", action="version", version=shown)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    standalone = _add(commands, "standalone", "run everything on this machine", STANDALONE)
    standalone.set_defaults(command=_standalone)
    _add_data_dir(standalone)
    _add_serving(standalone, "indexer", "searcher")
    for name, help in (
        ("indexer", "run the server that takes photos in"),
        ("searcher", "run the server that finds people in them"),
    ):
        server = _add(commands, name, help, SERVER)
        server.set_defaults(command=_indexer if name == "indexer" else _searcher)
        _add_serving(server, name)
        _add_processes(server, name)
    migrate = _add(commands, "migrate", "bring the database up to date", MIGRATE)
    migrate.set_defaults(command=_migrate)
    health.add_options(_add(commands, "health", "ask a running server how it is", health.HELP))
    models.add_commands(_add(commands, "models", "list, pull or show model packs", models.HELP))
    tokens.add_options(_add(commands, "token", "mint a token for development", tokens.HELP))
    audit.add_commands(
        _add(commands, "audit", "read the record of who did what, or prune it", audit.HELP),
        _add_data_dir,
    )
    made = _add(commands, "backup", "make a backup of the standalone's data", backup.BACKUP)
    backup.add_backup(made, _add_data_dir)
    backup.add_restore(_add(commands, "restore", "restore a data folder", backup.RESTORE))
    backup.add_verify(_add(commands, "verify", "look whether a backup is whole", backup.VERIFY))
    again = _add(commands, "reapply", "erase again in a restored database", backup.REAPPLY)
    backup.add_reapply(again)
    citus.add_commands(_add(commands, "citus", "spread events over several databases", citus.HELP))
    doctor = _add(commands, "doctor", "look for what is set up wrongly, and say what to do")
    doctor.set_defaults(command=_doctor)
    _add_data_dir(doctor)
    doctor.add_argument("--json", action="store_true", help="print the findings as JSON")
    return parser


def _add(
    commands: "Commands[argparse.ArgumentParser]", name: str, help: str, description: str = ""
) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=help,
        description=description or f"{help[0].upper()}{help[1:]}.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _add_data_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data-dir",
        type=Path,
        default=default_data_dir(),
        metavar="FOLDER",
        help="folder of the embedded Postgres (default: %(default)s)",
    )


def _add_serving(parser: argparse.ArgumentParser, *servers: str) -> None:
    for server in servers:
        for flag, setting in (("listen", "listen"), ("metrics-listen", "metrics_listen")):
            parser.add_argument(
                f"--{server}-{flag}",
                dest=f"{server}__{setting}",
                metavar="HOST:PORT",
                help=f"instead of FACEPASS_{server.upper()}__{setting.upper()}; "
                "port 0 takes any free one",
            )
    parser.add_argument(
        "--ready-file",
        type=Path,
        metavar="FILE",
        help="once everything serves, write the addresses there as JSON; removed at the end",
    )


def _add_processes(parser: argparse.ArgumentParser, server: str) -> None:
    parser.add_argument(
        "--processes",
        dest=f"{server}__processes",
        metavar="N",
        help=f"instead of FACEPASS_{server.upper()}__PROCESSES",
    )
    parser.add_argument(
        "--process",
        type=int,
        metavar="I",
        help="be the I-th of them (from 0), as for a supervisor of your own; the port cannot be 0",
    )
    parser.add_argument("--supervisor", type=int, help=argparse.SUPPRESS)


def _overrides(options: argparse.Namespace) -> Overrides:
    """The settings that were given as flags."""
    found: dict[str, dict[str, str]] = {}
    for name, value in vars(options).items():
        block, _, setting = name.partition("__")
        if setting and value is not None:
            found.setdefault(block, {})[setting] = value
    return found


def _serve(serving: Coroutine[None, None, None], supervisor: int | None = None) -> int:
    return 0 if asyncio.run(until_stopped(serving, supervisor)) else 1


def _standalone(options: argparse.Namespace) -> int:
    from standalone import serve

    overrides = _overrides(options)
    return _serve(serve.serve_standalone(options.data_dir, overrides, options.ready_file))


def _indexer(options: argparse.Namespace) -> int:
    return _serve_one(
        "indexer", read_settings(IndexerSettings, _overrides(options)).indexer, options
    )


def _searcher(options: argparse.Namespace) -> int:
    found = read_settings(SearcherSettings, _overrides(options)).searcher
    return _serve_one("searcher", found, options)


def _serve_one(server: str, settings: ServerSettings, options: argparse.Namespace) -> int:
    """Serve one server, by this process or by several that it starts."""
    if settings.processes > 1 and options.process is None:
        command = processes.Command(server, options.given, settings)
        return _serve(processes.serve_processes(command, options.ready_file))
    # Not at the top: whoever only watches over processes needs nothing of what they are made of.
    from standalone import serve

    overrides = _overrides(options)
    if options.process is not None:
        own = {"metrics_listen": processes.metrics_of(settings.metrics_listen, options.process)}
        overrides = {**overrides, server: {**overrides.get(server, {}), **own}}
    serving = serve.serve_indexer if server == "indexer" else serve.serve_searcher
    return _serve(serving(overrides, options.ready_file), options.supervisor)


def _migrate(_: argparse.Namespace) -> int:
    from standalone import serve

    applied = asyncio.run(serve.run_migrations(read_settings(CommonSettings).database))
    for name in applied:
        print(f"applied {name}")
    print("The database is up to date.")
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from standalone.doctor import Level, as_json, as_text, examine

    findings = examine(options.data_dir)
    print(as_json(findings) if options.json else as_text(findings))
    return 1 if any(finding.level is Level.FAIL for finding in findings) else 0
