"""Storing faces: our writer's COPY against one INSERT a face into a live graph."""

from time import perf_counter

from bench.baselines import b4
from bench.baselines.b3 import GlobalGraph
from bench.figures import Bar, Figure, of_rounds
from bench.stage import MANY, Stage
from bench.templates import FACES_PER_PHOTO, WRITTEN
from bench.writer import Writer, writing

_PHOTOS_OF_A_BATCH = 64
_ROUNDS = 7
_BATCHES_A_ROUND = 8


def measure(stage: Stage, graph: GlobalGraph) -> list[Figure]:
    """Faces a second of both, by turns."""
    return stage.runner.run(_measure(stage, graph))


async def _measure(stage: Stage, graph: GlobalGraph) -> list[Figure]:
    inserted = max(20, round(250 * stage.sizes.scale))
    ours, theirs = [], []
    event = stage.events[WRITTEN]
    async with writing(stage.ground.server_dsn(MANY), stage.pack, event.name) as writer:
        for number in range(stage.sizes.repeats(_ROUNDS)):
            ours.append(await _faces_per_s(stage, writer))
            templates = stage.population.strangers(inserted)
            theirs.append(await b4.faces_per_s(graph, event, 1 + number * inserted, templates))
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    bar = Bar(">=", 100)
    note = f"commits of {_PHOTOS_OF_A_BATCH} photos with {FACES_PER_PHOTO} faces each"
    return [
        of_rounds("copy_vs_insert", "writer / INSERT into a live graph", ratios, "x", bar, note),
        of_rounds("written_per_s", "writer, faces a second", ours, ""),
        of_rounds("inserted_per_s", "INSERT into a live graph, faces a second", theirs, ""),
    ]


async def _faces_per_s(stage: Stage, writer: Writer) -> float:
    """Commit some batches of new photos."""
    batches = []
    for _ in range(_BATCHES_A_ROUND):
        templates = stage.population.strangers(_PHOTOS_OF_A_BATCH * FACES_PER_PHOTO)
        photos = templates.reshape(_PHOTOS_OF_A_BATCH, FACES_PER_PHOTO, -1)
        batches.append([writer.photo(each) for each in photos])
    started = perf_counter()
    for batch in batches:
        await writer.write(batch)
    faces = _BATCHES_A_ROUND * _PHOTOS_OF_A_BATCH * FACES_PER_PHOTO
    return faces / (perf_counter() - started)
