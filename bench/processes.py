"""Searches a second of two processes at one address against one.

usage: python -m bench.processes     takes a minute
"""

import standalone  # noqa: F401 - before gRPC, for which it sets the environment

# isort: split

import os
import time
from time import perf_counter

import facepass
from facepass.v1 import searcher_pb2 as pb
from facepass.v1 import types_pb2

from bench.figures import Figure, as_json, as_text, of_rounds
from bench.ground import Server, prepared
from bench.load import Load, searching
from common.vision.fake.engine import FakeEngine
from common.vision.fake.photos import fake_photo

_PHOTOS, _PEOPLE = 200, 4
_CALLERS, _CONNECTIONS = 16, 16
_ROUNDS = 7
_SECONDS = 3.0


def main() -> None:
    """Measure by turns, then print the table and the line of JSON."""
    started = perf_counter()
    with prepared(small=True) as ground:
        ground.create_database("processes")
        _index(ground.serve("indexer", "processes"))
        servers = [
            ground.serve("searcher", "processes", FACEPASS_SEARCHER__PROCESSES=str(processes))
            for processes in (1, 2)
        ]
        for server in servers:
            _search(server)  # for the gallery to be in each one's memory
        rounds = [[_search(server) for server in servers] for _ in range(_ROUNDS)]
    figures = _figures(rounds)
    sizes = {
        "faces": _PHOTOS * _PEOPLE,
        "callers": _CALLERS,
        "connections": _CONNECTIONS,
        "cores": os.cpu_count(),
    }
    print(as_text(figures))
    print(as_json("processes", figures, sizes, perf_counter() - started))


def _index(server: Server) -> None:
    photos = (
        facepass.PhotoSource(
            f"p-{number}",
            fake_photo([(number + person) % 40 for person in range(_PEOPLE)], shot=number % 8),
        )
        for number in range(_PHOTOS)
    )
    with facepass.Client(indexer=server.address) as client:
        client.create_event("gala")
        for _ in client.index_photos("gala", photos):
            pass


def _search(server: Server) -> Load:
    engine = FakeEngine()
    requests = []
    for person in range(_CALLERS):
        embedding = types_pb2.Embedding(
            values=engine.embedding(person, 0).tolist(), pack=engine.pack.key
        )
        probes = [pb.Probe(embedding=embedding)]
        requests.append(pb.SearchRequest(event="events/gala", probes=probes, page_size=10))
    with searching(server, requests, _CALLERS, connections=_CONNECTIONS) as callers:
        time.sleep(_SECONDS)
        return callers.stop()


def _figures(rounds: list[list[Load]]) -> list[Figure]:
    one, two = ([load.per_s for load in loads] for loads in zip(*rounds, strict=True))
    failed = sum(load.failed for loads in rounds for load in loads)
    what = f"{_CALLERS} callers of a hot event, each with a connection"
    return [
        of_rounds(
            "processes_ratio",
            f"{what}: searches/s of two processes / of one",
            [b / a for a, b in zip(one, two, strict=True)],
            "x",
            note=f"Postgres and the callers are on the same {os.cpu_count()} cores",
        ),
        of_rounds("processes_1_per_s", "one process", one, "/s"),
        of_rounds("processes_2_per_s", "two processes", two, "/s"),
        Figure("processes_failed", "searches that failed", float(failed)),
    ]


if __name__ == "__main__":
    main()
