"""The commands `facepass-server citus init | status | move | rebalance`."""

import argparse
import asyncio

from common.config import CommonSettings
from common.errors import FacePassError, SetupError
from common.names import EventName, event_id
from indexer.config import IndexerSettings
from standalone.citus.distribution import Distribution, require_citus
from standalone.citus.moving import Moving
from standalone.citus.repository import Address, open_citus
from standalone.citus.status import Status
from standalone.config import read_settings

HELP = """\
Event data over several databases by Citus, where one is too small. All as the role that owns the
tables, in FACEPASS_DATABASE__MIGRATION_DSN, which names the coordinator. docs/scaling.md says what
to install before, and what it gives."""
_INIT = """\
Distribute event data, each event as a whole to one node; control data stays on the coordinator.
Stop all Indexers and Searchers before, start them again afterwards. Safe to run again: what is done
is left alone, and what was killed is gone on with."""
_SHARDS = 64
"""Some for each of many nodes, and few enough that each is worth a table."""


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Add init, status, move and rebalance below `citus`."""
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    init = commands.add_parser("init", help="distribute event data", description=_INIT)
    init.set_defaults(command=_init)
    init.add_argument(
        "--shards",
        type=_count,
        default=_SHARDS,
        metavar="N",
        help="pieces that shared tables are split into, a multiple of the nodes to come "
        "(default: %(default)s)",
    )
    status = commands.add_parser("status", help="show what is where, and what is left to be done")
    status.set_defaults(command=_status)
    status.add_argument("--json", action="store_true", help="print it as JSON")
    move = commands.add_parser("move", help="move an event to a node, while it is in use")
    move.set_defaults(command=_move)
    move.add_argument("event", type=_event, metavar="EVENT", help="its id")
    move.add_argument("node", type=_address, metavar="HOST:PORT", help="as `status` shows it")
    move.add_argument(
        "--alone",
        action="store_true",
        help="take it out of the shard that it shares with others, which then stay; whoever writes "
        "to one of them waits meanwhile",
    )
    rebalance = commands.add_parser("rebalance", help="spread shards evenly over the nodes")
    rebalance.set_defaults(command=_rebalance)


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 10_000:
        raise argparse.ArgumentTypeError("a number from 1 to 10000")
    return int(text)


def _event(text: str) -> EventName:
    try:
        return event_id(text.removeprefix("events/"), "EVENT")
    except FacePassError as error:
        raise argparse.ArgumentTypeError(error.message) from None


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal():
        raise argparse.ArgumentTypeError("HOST:PORT, as `facepass-server citus status` shows it")
    return Address(host, int(port))


def _dsn() -> str:
    settings = read_settings(CommonSettings).database
    found = settings.migration_dsn.get_secret_value() or settings.dsn.get_secret_value()
    if not found:
        raise SetupError("FACEPASS_DATABASE__MIGRATION_DSN is not set: the coordinator, as owner")
    return found


def _say(text: str) -> None:
    print(text, flush=True)


def _init(options: argparse.Namespace) -> int:
    ef_construction = read_settings(IndexerSettings).promotion.ef_construction

    async def run() -> int:
        async with open_citus(_dsn()) as citus:
            return await Distribution(citus, _say, ef_construction).run(options.shards)

    done = asyncio.run(run())
    _say("Event data is distributed." if done else "Event data is distributed: nothing to do.")
    return 0


def _status(options: argparse.Namespace) -> int:
    async def run() -> Status:
        async with open_citus(_dsn()) as citus:
            await require_citus(citus)
            return await Status.of(citus)

    status = asyncio.run(run())
    _say(status.as_json() if options.json else status.as_text())
    return 0


def _move(options: argparse.Namespace) -> int:
    async def run() -> None:
        async with open_citus(_dsn()) as citus, open_citus(_dsn()) as watch:
            await require_citus(citus)
            await Moving(citus, watch, _say).move(options.event, options.node, alone=options.alone)

    asyncio.run(run())
    _say(f"{options.event} is on {options.node}.")
    return 0


def _rebalance(_: argparse.Namespace) -> int:
    async def run() -> None:
        async with open_citus(_dsn()) as citus, open_citus(_dsn()) as watch:
            await require_citus(citus)
            await Moving(citus, watch, _say).rebalance()

    asyncio.run(run())
    _say("The nodes are balanced.")
    return 0
