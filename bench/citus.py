"""What distribution by Citus costs a search and a commit, and what a move of an event costs both.

usage: python -m bench.citus --plain OWNER SERVER --citus OWNER SERVER

Connection strings of two empty databases of the same kind of server, both migrated, the second
distributed by `facepass-server citus init`, each as the tables' owner and as the servers' role.
"""

import standalone  # noqa: F401 - before gRPC, for which it sets the environment

# isort: split

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from facepass.v1.indexer_pb2 import OptimizeEventRequest
from facepass.v1.indexer_pb2_grpc import IndexerStub
from google.longrunning import operations_pb2, operations_pb2_grpc

from bench.figures import Figure, as_json, as_text, call_by_call, milliseconds, of_rounds, ratio
from bench.fill_repository import PACK, fill
from bench.ground import ROOT, Ground
from bench.load import searching
from bench.searches import Searches, of_round, request_of
from bench.templates import FACES_PER_PHOTO, WRITTEN, Gallery, Population, Sizes, layout
from bench.writer import Writer, writing
from common.event import StoredPack
from indexer.write_repository import PhotoWrite
from standalone.embedded import Role

PLAIN, CITUS = "plain", "citus"
_SIZES = Sizes(0.1)
_LABELS = {"500": "5k", "5k": "50k", "20k": "200k"}
"""Faces of the events that are searched, and the label of as large a one at this scale."""
_LARGE = "20k"
_EVENTS = 20
_ROUNDS, _CALLS = 7, 40
_BATCHES, _PHOTOS = 6, 64
_KEPT, _NOT_KEPT = ({"FACEPASS_GALLERY__MEMORY_BYTES": size} for size in (str(1 << 30), "0"))
_PROMOTING = {
    "FACEPASS_PROMOTION__QUIET_S": "86400",
    "FACEPASS_PROMOTION__RECALL_INTERVAL_S": "86400",
    "FACEPASS_PROMOTION__HNSW_MIN_FACES": "15000",
}


class Given:
    """Databases that are there already, by name: DSNs of owner and servers."""

    def __init__(self, dsns: Mapping[str, tuple[str, str]]) -> None:
        self._dsns = dsns

    def dsn(self, role: Role, database: str) -> str:
        return self._dsns[database][role is Role.SERVER]

    def create_database(self, name: str) -> None:
        raise AssertionError(name)


@dataclass(frozen=True, slots=True)
class Lab:
    """Both databases, with the same events."""

    ground: Ground
    stack: ExitStack
    population: Population
    events: Mapping[str, Gallery]
    packs: Mapping[str, StoredPack]

    def searches(self, database: str, settings: Mapping[str, str]) -> Searches:
        server = self.ground.serve("searcher", database, **settings)
        return Searches(server, self.stack.enter_context(server.channel()))

    def event(self, label: str) -> Gallery:
        return self.events[_LABELS[label]]


def main() -> None:
    """Measure, then print the table and the line of JSON."""
    started = perf_counter()
    population, events = Population(_SIZES), layout(_SIZES, _EVENTS)
    dsns = _arguments()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        packs = {
            name: asyncio.run(fill(owner, events.values(), population.templates))
            for name, (owner, _) in dsns.items()
        }
        ground = Ground(Path(folder), Given(dsns), stack)
        lab = Lab(ground, stack, population, events, packs)
        figures = [*_hot(lab), *_scanned(lab), *asyncio.run(_written(lab))]
        for name in dsns:
            _promote(lab, name)
        figures += [*_by_graph(lab), *asyncio.run(_moved(lab))]
    print(as_text(figures))
    sizes = {"dimension": PACK.dimension, "faces": _SIZES.faces, "events": _EVENTS}
    print(as_json("citus", figures, sizes, perf_counter() - started))


def _arguments() -> dict[str, tuple[str, str]]:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in (PLAIN, CITUS):
        parser.add_argument(f"--{name}", nargs=2, required=True, metavar=("OWNER", "SERVER"))
    given = vars(parser.parse_args())
    return {name: (given[name][0], given[name][1]) for name in (PLAIN, CITUS)}


def _hot(lab: Lab) -> list[Figure]:
    both = [lab.searches(name, _KEPT) for name in (PLAIN, CITUS)]
    for searches in both:
        for label in _LABELS:
            searches.warm(lab.event(label), lab.population.probes(_LABELS[label], 1)[0])
    return [f for label in _LABELS for f in _compared(lab, both, label, "hot", "in memory")]


def _scanned(lab: Lab) -> list[Figure]:
    both = [lab.searches(name, _NOT_KEPT) for name in (PLAIN, CITUS)]
    return [f for label in _LABELS for f in _compared(lab, both, label, "scan", "not in memory")]


def _by_graph(lab: Lab) -> list[Figure]:
    both = [lab.searches(name, _NOT_KEPT) for name in (PLAIN, CITUS)]
    return _compared(lab, both, _LARGE, "graph", "by its graph")


def _compared(lab: Lab, both: list[Searches], label: str, key: str, where: str) -> list[Figure]:
    event, what = lab.event(label), f"event of {label} faces, {where}"
    probes = lab.population.probes(_LABELS[label], _CALLS)

    def calls(number: int) -> list[list[Callable[[], object]]]:
        some = of_round(probes, number, _CALLS)
        return [[searches.call(event, probe) for probe in some] for searches in both]

    for searches in both:
        for probe in probes[:10]:
            searches.ask(request_of(event, probe))
    plain, citus = call_by_call(_ROUNDS, calls)
    return [
        ratio(f"{key}_{label}", f"{what}: search, Citus / plain", citus, plain),
        milliseconds(f"{key}_plain_ms_{label}", f"{what}: plain", plain),
        milliseconds(f"{key}_citus_ms_{label}", f"{what}: Citus", citus),
    ]


async def _written(lab: Lab) -> list[Figure]:
    event, speeds = lab.events[WRITTEN], {PLAIN: list[float](), CITUS: list[float]()}
    writer = {
        name: writing(lab.ground.server_dsn(name), lab.packs[name], event.name) for name in speeds
    }
    async with writer[PLAIN] as plain, writer[CITUS] as citus:
        for _ in range(_ROUNDS):
            for name, each in ((PLAIN, plain), (CITUS, citus)):
                speeds[name].append(await _faces_per_s(lab, each))
    shares = [b / a for a, b in zip(speeds[PLAIN], speeds[CITUS], strict=True)]
    note = f"one writer, commits of {_PHOTOS} photos with {FACES_PER_PHOTO} faces each"
    return [
        of_rounds("written", "faces written a second, Citus / plain", shares, "x", note=note),
        of_rounds("written_plain", "faces written a second: plain", speeds[PLAIN], ""),
        of_rounds("written_citus", "faces written a second: Citus", speeds[CITUS], ""),
    ]


async def _faces_per_s(lab: Lab, writer: Writer) -> float:
    batches = [_photos(lab, writer, _PHOTOS) for _ in range(_BATCHES)]
    started = perf_counter()
    for batch in batches:
        await writer.write(batch)
    return _BATCHES * _PHOTOS * FACES_PER_PHOTO / (perf_counter() - started)


def _photos(lab: Lab, writer: Writer, count: int) -> list[PhotoWrite]:
    templates = lab.population.strangers(count * FACES_PER_PHOTO)
    return [writer.photo(each) for each in templates.reshape(count, FACES_PER_PHOTO, -1)]


def _promote(lab: Lab, name: str) -> None:
    server = lab.ground.serve("indexer", name, **_PROMOTING)
    with server.channel() as channel:
        request = OptimizeEventRequest(name=str(lab.event(_LARGE).name))
        operation = IndexerStub(channel).OptimizeEvent(request)
        waiting = operations_pb2.WaitOperationRequest(name=operation.name)
        while not operation.done:
            operation = operations_pb2_grpc.OperationsStub(channel).WaitOperation(waiting)
        if operation.HasField("error"):
            raise RuntimeError(operation.error.message)


async def _moved(lab: Lab) -> list[Figure]:
    """Searches and commits of an event while its own table and its rows go to another node."""
    event, probes = lab.event(_LARGE), lab.population.probes(_LABELS[_LARGE], _CALLS)
    requests = [request_of(event, probe) for probe in probes]
    server = lab.searches(CITUS, _NOT_KEPT).server
    dsn, pack = lab.ground.server_dsn(CITUS), lab.packs[CITUS]
    async with writing(dsn, pack, event.name) as writer:
        with searching(server, requests, 1, 0.01) as callers:
            quiet = await _stalls(lab, writer, asyncio.create_task(asyncio.sleep(5)))
            started = perf_counter()
            move = asyncio.create_task(asyncio.to_thread(_move, lab, event))
            moving = await _stalls(lab, writer, move)
            seconds, load = perf_counter() - started, callers.stop()
    what = f"moving an event of {_LARGE} faces with its graph"
    commits, many = f"of {len(moving):,} commits", f"of {load.searches:,} searches"
    return [
        Figure("move_s", f"{what}: it took", seconds, "s"),
        Figure("move_failed", f"{what}: searches failed", load.failed, note=many),
        Figure("move_search_ms", f"{what}: longest search", load.longest_ms, "ms"),
        Figure("move_stall_ms", f"{what}: longest commit", max(moving) * 1000, "ms", note=commits),
        Figure("quiet_stall_ms", f"{what}: longest commit before", max(quiet) * 1000, "ms"),
    ]


async def _stalls(lab: Lab, writer: Writer, until: "asyncio.Task[None]") -> list[float]:
    """Seconds of each commit until something is done. Raises what that or a commit does."""
    taken = []
    while not until.done():
        photos = _photos(lab, writer, 4)
        started = perf_counter()
        await writer.write(photos)
        taken.append(perf_counter() - started)
        await asyncio.sleep(0.02)
    await until
    return taken


def _move(lab: Lab, event: Gallery) -> None:
    """To each node that takes shards in turn, so that both its table and its rows have moved."""
    nodes = json.loads(_facepass(lab, "citus", "status", "--json"))["nodes"]
    for node in (each for each in nodes if each["takes_shards"]):
        _facepass(lab, "citus", "move", event.name.event, f"{node['host']}:{node['port']}")


def _facepass(lab: Lab, *arguments: str) -> str:
    environment = {"FACEPASS_DATABASE__MIGRATION_DSN": lab.ground.owner_dsn(CITUS)}
    command = [sys.executable, "-m", "standalone", *arguments]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout


if __name__ == "__main__":
    main()
