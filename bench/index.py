"""Indexing with real models, from gRPC to committed rows, against what one would otherwise write.

usage: python -m bench.index [--scale S] [--memory] [--packs FOLDER] [--photos FOLDER]

S = 1 takes almost eight minutes; less is for trying it out. --memory: only memory, with 500 photos.
"""

import standalone  # noqa: F401 - before gRPC, for which it sets the environment

# isort: split

import argparse
import sys
from pathlib import Path

from bench import (
    index_memory,
    index_overhead,
    index_parity,
    index_selfies,
    index_shrunk,
    index_speed,
)
from bench.figures import Figure, as_json, as_text
from bench.ground import ROOT
from bench.index_stage import IndexStage, folders, staged

_SHARED = ROOT.parent / "shared"
_PHOTOS, _MANY_PHOTOS = 100, 500


def main() -> None:
    """Measure everything, then print the table and the line of JSON."""
    options = _parser().parse_args()
    if not folders(options.packs):
        print(f"skipped: no model pack in {options.packs}; name one by --packs", file=sys.stderr)
        return
    real = options.photos if options.photos.is_dir() else None
    with staged(options.scale, options.packs, real) as stage:
        figures = _measure_memory(stage, _MANY_PHOTOS) if options.memory else _measure(stage)
        sizes = {
            "scale": options.scale,
            "cores": stage.cores,
            "pack": stage.pack.name,
            "photos": {photos.name: len(photos.files) for photos in stage.sets},
        }
        seconds = stage.progress.seconds
    print(as_text(figures))
    print(as_json("index_memory" if options.memory else "index", figures, sizes, seconds))


def _measure(stage: IndexStage) -> list[Figure]:
    sides = index_speed.Sides.of(stage)
    figures = index_speed.measure(stage, sides)
    figures += index_overhead.measure_decode(stage, sides.alone)
    figures += index_shrunk.measure(stage, sides.alone)
    figures += index_parity.measure(stage, sides.server, sides.baseline)
    figures += index_selfies.measure(stage)
    figures += _measure_memory(stage, _PHOTOS)
    figures += index_overhead.measure_overhead(stage, sides.alone)
    figures += index_speed.measure_scaling(stage, sides.alone)
    figures += index_speed.measure_other_packs(stage)
    stage.progress.say("done")
    return figures


def _measure_memory(stage: IndexStage, photos: int) -> list[Figure]:
    return index_memory.measure(stage, stage.sizes.count(photos, least=16))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Measure FacePass' indexing.")
    parser.add_argument("--scale", type=float, default=1.0, help="share of photos and rounds")
    parser.add_argument("--memory", action="store_true", help="only memory, with more photos")
    parser.add_argument("--packs", type=Path, default=_SHARED / "models", metavar="FOLDER")
    parser.add_argument("--photos", type=Path, default=_SHARED / "photos", metavar="FOLDER")
    return parser


if __name__ == "__main__":
    main()
