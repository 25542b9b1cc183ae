"""What rotated templates cost a search: two events of the same faces, one of them rotated.

usage: python -m bench.rotation
"""

import standalone  # noqa: F401 - before gRPC, for which it sets the environment

# isort: split

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter

from bench.figures import Bar, Figure, Rounds, as_json, as_text, call_by_call, milliseconds, ratio
from bench.fill_repository import PACK
from bench.filling import fill
from bench.ground import Ground, prepared
from bench.searches import Searches, of_round
from bench.templates import Gallery, Population, Sizes, Templates
from common.config import TemplateSettings
from common.names import EventName
from common.templates.keys import TemplateKeys, new_key

_DATABASE = "rotation"
_SIZES = Sizes(0.1)
_LABELS = {"500": "5k", "5k": "50k"}
"""Faces of the events that are searched, and the label of as large a one at this scale."""
_BAR = Bar("<=", 1.02)
_ROUNDS, _CALLS = 15, 200


@dataclass(frozen=True, slots=True)
class Pair:
    """Two events of the same faces, and probes for both."""

    plain: Gallery
    rotated: Gallery
    templates: Templates
    probes: Templates


def main() -> None:
    """Measure, then print the table and the line of JSON."""
    started = perf_counter()
    population = Population(_SIZES)
    pairs = {label: _pair(population, label) for label in _LABELS}
    with _key_file() as path, prepared(small=True) as ground:
        ground.create_database(_DATABASE)
        keys = TemplateKeys.of(TemplateSettings(key_file=str(path)))
        for pair in pairs.values():
            asyncio.run(_fill(ground, pair, keys))
        figures = _measure(ground, path, pairs)
    print(as_text(figures))
    sizes = {"dimension": PACK.dimension, "faces_of_events": [p.plain.size for p in pairs.values()]}
    print(as_json("rotation", figures, sizes, perf_counter() - started))


def _pair(population: Population, label: str) -> Pair:
    at_scale = _LABELS[label]
    size = _SIZES.events[at_scale]
    start = sum(list(_SIZES.events.values())[: list(_SIZES.events).index(at_scale)])
    plain, rotated = (
        Gallery(EventName(f"{kind}-{label}"), start, size) for kind in ("plain", "rotated")
    )
    probes = population.probes(at_scale, _CALLS)
    return Pair(plain, rotated, plain.of(population.templates), probes)


async def _fill(ground: Ground, pair: Pair, keys: TemplateKeys) -> None:
    dsn = ground.server_dsn(_DATABASE)
    await fill(dsn, pair.plain.name, pair.templates)
    await fill(dsn, pair.rotated.name, pair.templates, keys)


def _measure(ground: Ground, key_file: Path, pairs: dict[str, Pair]) -> list[Figure]:
    server = ground.serve("searcher", _DATABASE, FACEPASS_TEMPLATES__KEY_FILE=str(key_file))
    with server.channel() as channel:
        searches = Searches(server, channel)
        figures = []
        for label, pair in pairs.items():
            for gallery in (pair.plain, pair.rotated):
                searches.warm(gallery, pair.probes[0])
            plain, rotated = call_by_call(_ROUNDS, partial(_calls, searches, pair))
            what = f"event of {label} faces in memory"
            figures += [
                ratio(f"rotated_{label}", f"{what}: search, rotated / not", rotated, plain, _BAR),
                milliseconds(f"plain_ms_{label}", f"{what}: not rotated", plain),
            ]
            more = [a - b for a, b in zip(rotated.values, plain.values, strict=True)]
            figures.append(milliseconds(f"more_ms_{label}", f"{what}: more", Rounds(more)))
        return figures


def _calls(searches: Searches, pair: Pair, number: int) -> list[list[Callable[[], object]]]:
    probes = of_round(pair.probes, number, _CALLS)
    galleries = (pair.plain, pair.rotated)
    return [[searches.call(gallery, probe) for probe in probes] for gallery in galleries]


@contextmanager
def _key_file() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "keys"
        path.write_text(new_key())
        yield path


if __name__ == "__main__":
    main()
