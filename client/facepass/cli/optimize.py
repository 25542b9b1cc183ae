"""`facepass event optimize`, and an event's index in words."""

import argparse
import time

from google.longrunning import operations_pb2

from facepass import Client, from_status
from facepass.cli.output import note, print_json, say
from facepass.cli.subcommands import Subcommands
from facepass.report import counted
from facepass.v1 import events_pb2, indexer_pb2

_LOOK_S = 0.2
_LINE_EVERY_S = 5.0
_PHASES = {
    indexer_pb2.OPTIMIZE_PHASE_QUEUED: "waiting for a server",
    indexer_pb2.OPTIMIZE_PHASE_COPYING: "copying faces",
    indexer_pb2.OPTIMIZE_PHASE_BUILDING: "building the graph",
    indexer_pb2.OPTIMIZE_PHASE_MEASURING: "measuring what it finds",
    indexer_pb2.OPTIMIZE_PHASE_CLEANING: "removing copies",
}


def register(actions: Subcommands, shared: argparse.ArgumentParser) -> None:
    """Add `optimize`."""
    parser = actions.add_parser(
        "optimize", parents=[shared], help="build, renew or remove the graph of a large event now"
    )
    parser.set_defaults(run=_optimize, server="indexer")
    parser.add_argument("event", metavar="EVENT", help="id of the event")
    parser.add_argument("--no-wait", action="store_true", help="only begin, and print its name")
    parser.add_argument("--json", action="store_true", help="print JSON")


def index_in_words(index: events_pb2.EventIndex) -> str:
    """How an event is searched, in a line."""
    text = "every face is compared"
    if index.strategy == events_pb2.INDEX_STRATEGY_HNSW:
        text = f"graph of {counted(index.faces, 'face')}, {index.size_bytes / 1e6:,.1f} MB"
        if index.HasField("recall"):
            text += f", finds {index.recall:.1%}"
    if index.state == events_pb2.INDEX_STATE_BUILDING:
        text += " (being worked on)"
    return text


def _optimize(client: Client, args: argparse.Namespace) -> int:
    operation = client.optimize_event(args.event, wait=False)
    if args.no_wait:
        print_json(operation) if args.json else say(operation.name)
        return 0
    operation = _until_done(client, operation)
    if operation.HasField("error"):
        raise from_status(operation.error)
    result = indexer_pb2.OptimizeEventResponse()
    operation.response.Unpack(result)
    print_json(result) if args.json else say(f"index     {index_in_words(result.index)}")
    return 0


def _until_done(client: Client, operation: operations_pb2.Operation) -> operations_pb2.Operation:
    """The operation once it is done; says now and then how far it is."""
    said, said_s = None, 0.0
    while not operation.done:
        step = indexer_pb2.OptimizeEventMetadata()
        operation.metadata.Unpack(step)
        now_s = time.monotonic()
        if step.phase != said or now_s - said_s >= _LINE_EVERY_S:
            note(_progress(step))
            said, said_s = step.phase, now_s
        time.sleep(_LOOK_S)
        operation = client.get_operation(operation.name)
    return operation


def _progress(step: indexer_pb2.OptimizeEventMetadata) -> str:
    text = _PHASES.get(step.phase, "working")
    if step.faces_done and step.faces_total:
        text += f": {step.faces_done:,} of {counted(step.faces_total, 'face')}"
    return text
