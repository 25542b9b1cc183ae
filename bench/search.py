"""FacePass' search and storage against what a user would otherwise write.

usage: python -m bench.search [--scale S]     S = 1 takes fifteen minutes; less is for trying it out
"""

import standalone  # noqa: F401 - before gRPC, for which it sets the environment

# isort: split

import argparse
import gc
from contextlib import AbstractAsyncContextManager

from bench.baselines.b3 import GlobalGraph, global_graph
from bench.figures import Figure, as_json, as_text
from bench.measures import (
    cold,
    many,
    memory,
    overhead,
    promotion,
    speedup,
    throughput,
    writing,
)
from bench.searches import Searches
from bench.stage import FEW, MANY, Stage, staged


def main() -> None:
    """Measure everything, then print the table and the line of JSON."""
    parser = argparse.ArgumentParser(description="Measure FacePass' search and storage.")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the faces and events")
    scale = parser.parse_args().scale
    with staged(scale) as stage:
        stage.build_baseline()
        # The events stay: looking through them for garbage would take time from what is measured.
        gc.collect()
        gc.freeze()
        figures = _measure(stage)
        sizes = {
            "scale": scale,
            "faces": stage.sizes.faces,
            "events": stage.sizes.many,
            "faces_of_events": stage.sizes.events,
            "dimension": stage.pack.dimension,
        }
        seconds = stage.progress.seconds
    print(as_text(figures))
    print(as_json("search", figures, sizes, seconds))


def _measure(stage: Stage) -> list[Figure]:
    say = stage.progress.say
    say("starting servers")
    hot, not_kept = stage.searches(MANY, hot=True), stage.searches(MANY, hot=False)
    dsn = stage.ground.owner_dsn(MANY)
    graph = _entered(stage, global_graph(dsn))
    forced = _entered(stage, global_graph(dsn, forced=True))
    say("in memory: size and recall")
    figures = memory.measure(stage, hot)
    say("against B3")
    figures += speedup.measure(stage, hot, graph, forced)
    say("against the bare library")
    figures += overhead.measure(stage, hot)
    say("several callers")
    figures += throughput.measure(stage, hot)
    say("not in memory")
    figures += cold.measure_shared(stage, not_kept)
    say("many events and few")
    few = stage.searches(FEW, hot=True), stage.searches(FEW, hot=False)
    figures += many.measure(stage, (hot, not_kept), few)
    say("writing")
    figures += writing.measure(stage, graph)
    return [*figures, *_measure_graphs(stage, hot, not_kept)]


def _measure_graphs(stage: Stage, hot: Searches, not_kept: Searches) -> list[Figure]:
    say = stage.progress.say
    indexer = stage.indexer()
    promotions = promotion.Promotions(stage.stack.enter_context(indexer.channel()))
    say("a graph for the event of 50k faces, under load")
    figures = promotion.measure(stage, promotions, hot, not_kept)
    say("a graph for the event of 200k faces")
    seconds = promotions.run(stage, "200k")
    figures.append(
        Figure("promotion_s_200k", "graph for an event of 200k faces: it took", seconds, "s")
    )
    say("again for the one of 50k faces, with what came meanwhile")
    promotions.run(stage, "50k")
    say("searching by graph")
    figures += cold.measure_promoted(stage, not_kept)
    say("done")
    return figures


def _entered(stage: Stage, context: AbstractAsyncContextManager[GlobalGraph]) -> GlobalGraph:
    """Enter a context on the stage's loop, to be left at its end."""
    graph = stage.runner.run(context.__aenter__())
    stage.stack.callback(lambda: stage.runner.run(context.__aexit__(None, None, None)))
    return graph


if __name__ == "__main__":
    main()
