"""What indexing costs besides the models, and what decoding costs against OpenCV."""

from bench.figures import Bar, Figure, interleaved, of_rounds, ratio
from bench.index_child import Child
from bench.index_photos import PhotoSet
from bench.index_stage import IndexStage

_ROUNDS = 5


def measure_overhead(stage: IndexStage, alone: Child) -> list[Figure]:
    """CPU time of the Indexer and its worker, less what the same photos take in the models.

    With one worker, so that cores that slow each other down do not count as overhead.
    """
    stage.progress.say("overhead of photos of 2 MP")
    server = stage.indexer(FACEPASS_ENGINE__WORKERS="1")
    files = stage.two_megapixels.files
    stage.send(server, files)
    shares, outside_ms = [], []
    for _ in range(stage.sizes.repeats(_ROUNDS)):
        models = alone.ask(do="stages", photos=files)["models_cpu_s"] / len(files)
        sent = stage.send(server, files, repeats=2)
        total = sent.cpu_s / sent.photos
        shares.append(1 - models / total)
        outside_ms.append(1000 * (total - models))
    label = "CPU time outside the models, a photo of 2 MP"
    note = "decoding included; Indexer and one worker, less the models' own runs"
    return [
        of_rounds("overhead_share", f"{label}: share", shares, "", Bar("<=", 0.25), note),
        of_rounds("overhead_ms", label, outside_ms, "ms"),
    ]


def measure_decode(stage: IndexStage, alone: Child) -> list[Figure]:
    """A worker's decoding of 12-megapixel photos against `cv2.imdecode`, one thread each."""
    stage.progress.say("decoding")
    label = "decoding photos of 12 MP: source MP/s / cv2.imdecode"
    twice = "decoding 12 MP twice, for small faces: source MP/s / cv2.imdecode"
    return [
        _speedup(stage, alone, stage.camera, "scaled_decode_speedup", label, Bar(">=", 1.8)),
        _speedup(stage, alone, stage.crowd, "twice_decode_speedup", twice),
    ]


def _speedup(
    stage: IndexStage, alone: Child, photos: PhotoSet, key: str, label: str, bar: Bar | None = None
) -> Figure:
    files = photos.files
    ours, theirs = interleaved(
        stage.sizes.repeats(_ROUNDS),
        lambda _: float(alone.ask(do="stages", photos=files)["decode_s"]),
        lambda _: float(alone.ask(do="imdecode", photos=files)["seconds"]),
    )
    return ratio(key, label, theirs, ours, bar, photos.label)
