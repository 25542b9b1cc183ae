"""The commands `facepass-server audit tail | export | prune`."""

import argparse
import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from common.audit.repository import audit_table
from common.audit.selection import Selection, lines_of
from common.config import CommonSettings
from common.errors import SetupError
from indexer.config import IndexerSettings
from standalone.backup.archiving import archiving
from standalone.config import read_settings
from standalone.data_dir import DataDir
from standalone.embedded import EmbeddedPostgres
from standalone.moment import moment

HELP = """\
The record of who did what: one JSON line a call, from the table `audit` of the database, or from
a file that FACEPASS_AUDIT__FILE named. The table is read and pruned as the role that owns it:
FACEPASS_DATABASE__MIGRATION_DSN or, where that is not set, FACEPASS_DATABASE__DSN. A TIME is
written as ISO 8601 has it (2026-05-01, 2026-05-01T12:00:00+02:00), in UTC where it does not say."""
_LOOK_S = 1.0
_LATE = timedelta(minutes=1)
"""How much later than it happened a call may show up in the table."""


def add_commands(
    parser: argparse.ArgumentParser, add_data_dir: Callable[[argparse.ArgumentParser], None]
) -> None:
    """Add tail, export and prune below `audit`."""
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    tail = commands.add_parser("tail", help="show the newest lines")
    tail.set_defaults(command=_tail)
    tail.add_argument("-n", "--lines", type=int, default=20, metavar="N", help="how many (20)")
    tail.add_argument("-f", "--follow", action="store_true", help="then show new ones as they come")
    export = commands.add_parser("export", help="write all lines, oldest first")
    export.set_defaults(command=_export)
    for each in (tail, export):
        each.add_argument("--file", type=Path, metavar="FILE", help="read this file, not the table")
        each.add_argument("--event", metavar="ID", help="calls about this event")
        each.add_argument("--subject", metavar="NAME", help="calls of this subject")
        each.add_argument("--method", metavar="NAME", help="calls of this RPC (`Search`)")
        each.add_argument(
            "--since", type=moment, metavar="TIME", help="ISO 8601, in UTC if it says none"
        )
        each.add_argument("--until", type=moment, metavar="TIME", help="the first time left out")
    prune = commands.add_parser("prune", help="remove old rows from the table")
    prune.set_defaults(command=_prune)
    prune.add_argument(
        "--before",
        type=moment,
        metavar="TIME",
        help="remove calls before this (default: FACEPASS_AUDIT__KEEP_DAYS ago)",
    )
    for each in (tail, export, prune):
        add_data_dir(each)


def _selection(options: argparse.Namespace) -> Selection:
    return Selection(options.event, options.subject, options.method, options.since, options.until)


def _export(options: argparse.Namespace) -> int:
    asyncio.run(_print(options, _selection(options), None, set()))
    return 0


def _tail(options: argparse.Namespace) -> int:
    wanted, seen = _selection(options), set[str]()
    asyncio.run(_print(options, wanted, options.lines, seen))
    with suppress(KeyboardInterrupt):
        while options.follow:
            time.sleep(_LOOK_S)
            since = datetime.now(UTC) - _LATE
            newest = replace(wanted, since=max(since, wanted.since or since))
            asyncio.run(_print(options, newest, None, seen))
    return 0


async def _print(
    options: argparse.Namespace, wanted: Selection, most: int | None, seen: set[str]
) -> None:
    async for line in _lines(options, wanted, most):
        if line not in seen:
            print(line, flush=options.command is _tail)
            if options.command is _tail:
                seen.add(line)


async def _lines(
    options: argparse.Namespace, wanted: Selection, most: int | None
) -> AsyncIterator[str]:
    if options.file is not None:
        found = lines_of(options.file, wanted)
        for line in found if most is None else deque(found, most):
            yield line
        return
    async with _owner_dsn(options.data_dir) as dsn, audit_table(dsn) as table:
        async for line in table.lines(wanted, most):
            yield line


def _prune(options: argparse.Namespace) -> int:
    keep_days = read_settings(CommonSettings).audit.keep_days
    if options.before is None and not keep_days:
        raise SetupError("FACEPASS_AUDIT__KEEP_DAYS is 0: say --before when")
    before = options.before or datetime.now(UTC) - timedelta(days=keep_days)
    removed = asyncio.run(_remove(options.data_dir, before))
    print(f"Removed {removed} rows of calls before {before.isoformat(timespec='seconds')}.")
    return 0


async def _remove(data_dir: Path, before: datetime) -> int:
    async with _owner_dsn(data_dir) as dsn, audit_table(dsn) as table:
        return await table.prune(before)


@asynccontextmanager
async def _owner_dsn(data_dir: Path) -> AsyncIterator[str]:
    """The database as its owner: the one that the settings name, or the embedded one, which is
    started for the while where it does not run."""
    settings = read_settings(CommonSettings).database
    given = settings.migration_dsn.get_secret_value() or settings.dsn.get_secret_value()
    if given:
        yield given
        return
    data = DataDir.at(data_dir)
    if not data.cluster.exists():
        raise SetupError(f"there is no data in {data.root}")
    postgres = EmbeddedPostgres(data.root, archiving(read_settings(IndexerSettings)))
    if data.in_use:
        postgres.attach()
        yield postgres.owner_dsn
        return
    await asyncio.to_thread(postgres.start)
    try:
        yield postgres.owner_dsn
    finally:
        await asyncio.to_thread(postgres.stop)
