"""B4: one INSERT a face into the table of B3, whose graph is live."""

from time import perf_counter

from bench.baselines.b3 import GlobalGraph
from bench.templates import Gallery, Templates


async def faces_per_s(
    graph: GlobalGraph, event: Gallery, first_no: int, templates: Templates
) -> float:
    """Insert the faces one by one."""
    started = perf_counter()
    for i, template in enumerate(templates):
        await graph.insert(event, first_no + i, template)
    return len(templates) / (perf_counter() - started)
